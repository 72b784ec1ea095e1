// The mathematics of the editor: poses are arrays of 15 joints [x, y, z] in mm, x right, y down and
// z away from the camera. Functions change nothing that they are given, and know nothing of the page.

// --- vectors -------------------------------------------------------------------------------------

export const add = (a, b) => [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
export const subtract = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
export const times = (s, a) => [s * a[0], s * a[1], s * a[2]];
export const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
export const norm = (a) => Math.hypot(a[0], a[1], a[2]);
export const middle = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2, (a[2] + b[2]) / 2];

const TINY = 1e-9;
const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
const mix = (a, b, share) => add(times(1 - share, a), times(share, b));
const without = (a, unit) => subtract(a, times(dot(a, unit), unit));

function cross(a, b) {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

// Of length 1; `otherwise` where there is no direction.
function unit(a, otherwise = [0, 1, 0]) {
  const length = norm(a);
  return length > TINY ? times(1 / length, a) : otherwise;
}

function perpendicular(a) {
  return unit(without(Math.abs(a[2]) < 0.9 ? [0, 0, 1] : [0, 1, 0], a));
}

// `v` turned by the smallest rotation that takes the unit vector `from` to the unit vector `to`.
function carried(v, from, to) {
  const cosine = dot(from, to);
  if (cosine < -1 + TINY) {
    // Half a turn, around anything perpendicular.
    const axis = perpendicular(from);
    return subtract(times(2 * dot(axis, v), axis), v);
  }
  const axis = cross(from, to);
  return add(add(times(cosine, v), cross(axis, v)), times(dot(axis, v) / (1 + cosine), axis));
}

// --- the body ------------------------------------------------------------------------------------

export const PELVIS = 15; // the number after the last joint: the mean of the hips

// What the functions below need to know of the skeleton, from the answer to GET /about.
export function makeBody({ joints, bones, mirror, limbs }) {
  const at = Object.fromEntries(joints.map((name, i) => [name, i]));
  at.pelvis = PELVIS;
  const children = Array.from({ length: PELVIS + 1 }, () => []);
  const parent = Array(PELVIS + 1).fill(-1);
  for (const [from, to] of bones) {
    children[from].push(to);
    parent[to] = from;
  }
  return { names: [...joints, "pelvis"], at, bones, mirror: [...mirror, PELVIS], limbs, children, parent };
}

// All 16 nodes: the joints, and the pelvis.
export function nodes(body, joints) {
  return [...joints, middle(joints[body.at.right_hip], joints[body.at.left_hip])];
}

export function lengths(body, joints) {
  const all = nodes(body, joints);
  return body.bones.map(([from, to]) => norm(subtract(all[to], all[from])));
}

// The mean of both sides, and of unknown ones (null) what another body has there.
export function symmetric(body, found, otherwise) {
  const known = found.map((length, i) => (length > 0 ? length : otherwise[i]));
  return body.bones.map(([from, to], i) => {
    const [a, b] = [body.mirror[from], body.mirror[to]];
    const other = body.bones.findIndex(([parent, child]) => parent === a && child === b);
    return (known[i] + known[other]) / 2;
  });
}

// The pose with bones of these lengths in the same directions; the pelvis stays where it is.
export function withLengths(body, joints, wanted) {
  const all = nodes(body, joints);
  const moved = all.slice();
  body.bones.forEach(([from, to], i) => {
    const direction = unit(subtract(all[to], all[from]));
    moved[to] = add(moved[from], times(wanted[i], direction));
  });
  return moved.slice(0, PELVIS);
}

function descendants(body, node) {
  return body.children[node].flatMap((child) => [child, ...descendants(body, child)]);
}

// Where the person's right, up and front are, at the hips or at the shoulders.
export function frame(body, joints, pair) {
  const all = nodes(body, joints);
  const up = unit(subtract(all[body.at.neck], all[PELVIS]), [0, -1, 0]);
  const across = subtract(all[body.at[`right_${pair}`]], all[body.at[`left_${pair}`]]);
  const right = unit(without(across, up), perpendicular(up));
  return { right, up, front: cross(up, right) };
}

// --- limbs ---------------------------------------------------------------------------------------

// Where an elbow or a knee points by nature, at right angles to the line `axis` from one end of the
// limb to the other: continuous but for one direction each, into which no limb reaches: a leg up
// behind, an arm behind the back to the other side.
function natural(kind, side, { right, up, front }, axis) {
  if (kind === "leg") return carried(unit(add(front, up)), unit(subtract(front, up)), axis);
  const outward = side === "right" ? right : times(-1, right);
  const reference = unit(add(outward, front));
  const elbow = unit(subtract(unit(subtract(outward, front)), up));
  return carried(elbow, reference, axis);
}

const LIMBS = { wrist: ["arm", "shoulder", "elbow"], ankle: ["leg", "hip", "knee"] };
const MOST_TWIST = { arm: 1.75, leg: 1.05 }; // from the natural direction, radians
const STRAIGHTEST = 0.9999; // of the length of both bones
const NARROWEST = 0.45; // radians between both bones
const FURTHEST = 0.85; // by which a joint of head or trunk moves in one drag, of its bone's length

// Root, middle and end of the limb that a joint belongs to, and what kind of limb it is.
export function limbOf(body, node) {
  const [side, joint] = body.names[node].split("_");
  for (const [end, [kind, root, mid]] of Object.entries(LIMBS)) {
    if ([root, mid, end].includes(joint)) {
      const [a, b, c] = [root, mid, end].map((name) => body.at[`${side}_${name}`]);
      return { kind, side, pair: root, root: a, mid: b, end: c };
    }
  }
  return null;
}

// How far around the axis from its natural direction a limb is bent, and how much it is bent at all.
function twist(kind, side, basis, axis, bend) {
  const n = natural(kind, side, basis, axis);
  const pole = without(bend, axis);
  return [Math.atan2(dot(pole, cross(axis, n)), dot(pole, n)), norm(pole)];
}

// The sign of the depth that a joint gets where its own tells none: what brings it to the front.
function frontSign({ front }, away, own) {
  const facing = dot(front, away);
  if (Math.abs(facing) > 0.3) return Math.sign(facing);
  return Math.sign(own) || -1;
}

// The end of a limb goes to where it is wanted, or as near as both bones reach; the root stays.
function reach(body, start, limb, wanted, basis, root, away) {
  const [from, mid, end] = [start[limb.root], start[limb.mid], start[limb.end]];
  const a = norm(subtract(mid, from));
  const b = norm(subtract(end, mid));
  const before = subtract(end, from);
  const own = norm(before);
  // A limb that is bent more, or less, than these may stay as it is.
  const most = Math.min(Math.max(STRAIGHTEST * (a + b), own), a + b);
  const closest = Math.sqrt(a * a + b * b - 2 * a * b * Math.cos(NARROWEST));
  const least = Math.max(Math.min(closest, own), Math.abs(a - b) + 1e-3);
  const line = within(subtract(wanted, root), least, most, away, frontSign(basis, away, dot(before, away)));
  const distance = norm(line);
  const axis = unit(line);
  const old = unit(before, unit(subtract(mid, from)));
  const [turned, bent] = twist(limb.kind, limb.side, basis, old, subtract(mid, from));
  // How a limb is twisted stays, but for what no limb does: that goes, little by little, as it moves.
  const limit = MOST_TWIST[limb.kind];
  const wantedTwist = clamp(turned, -limit, limit) * Math.min(bent / (0.1 * a), 1);
  const progress = Math.min(norm(subtract(line, before)) / (0.5 * (a + b)), 1);
  const angle = turned + (wantedTwist - turned) * progress;
  const n = natural(limb.kind, limb.side, basis, axis);
  const pole = add(times(Math.cos(angle), n), times(Math.sin(angle), cross(axis, n)));
  const along = clamp((distance * distance + a * a - b * b) / (2 * distance), -a, a);
  const aside = Math.sqrt(Math.max(a * a - along * along, 0));
  const knee = add(root, add(times(along, axis), times(aside, pole)));
  // What rounding left of the second bone's length.
  const tip = add(knee, times(b, unit(subtract(add(root, line), knee))));
  return [knee, tip];
}

// A vector moved into the shell between two lengths, in the plane of the view as little as possible.
function within(line, least, most, away, sign) {
  const length = norm(line);
  if (length >= least && length <= most) return line;
  const depth = dot(line, away);
  const flat = without(line, away);
  const across = norm(flat);
  if (length > most) {
    if (across >= most) return times(most / across, flat);
    return add(flat, times(Math.sign(depth) * Math.sqrt(most * most - across * across), away));
  }
  const deep = Math.sqrt(Math.max(least * least - across * across, 0));
  return add(flat, times((Math.abs(depth) > 1 ? Math.sign(depth) : sign) * deep, away));
}

// --- dragging ------------------------------------------------------------------------------------

// The direction in which a bone of a length points after its end was dragged to `wanted`, seen along
// `away`: its end stays under the pointer, in the depth that its length leaves it.
function swung(before, wanted, away, preferred) {
  const length = norm(before);
  const depth = dot(before, away);
  const flat = without(wanted, away);
  const across = norm(flat);
  const inPlane = across > length ? times(length / across, flat) : flat;
  const deep = Math.sqrt(Math.max(length * length - Math.min(across, length) ** 2, 0));
  const own = Math.sign(depth) || preferred;
  const there = (sign) => add(inPlane, times(sign * deep, away));
  if (own === preferred || Math.abs(depth) > 0.25 * length) return unit(there(own));
  // A bone that lies almost in the plane of the view leaves it to the front.
  const progress = clamp(norm(subtract(wanted, before)) / (0.1 * length), 0, 1);
  return unit(mix(there(own), there(preferred), progress), unit(there(preferred)));
}

// The same for the short bones of shoulders and hips, on which half of the body hangs: one that lies
// in the plane of the view turns to the front as far as its end is dragged inwards, not at once.
function rolled(before, shift, away, preferred) {
  const depth = dot(before, away);
  const flat = without(before, away);
  const across = norm(flat);
  if (across < TINY) return unit(add(before, shift));
  const inward = times(-1 / across, flat);
  const step = dot(shift, inward);
  const sign = Math.abs(depth) > 0.25 * norm(before) ? Math.sign(depth) : preferred;
  const tangent = add(times(sign * depth, inward), times(sign * across, away));
  return unit(add(add(before, subtract(shift, times(step, inward))), times(step / norm(before), tangent)));
}

// The pose after a joint was dragged, every bone as long as before.
//
// body: of `makeBody`.
// start: the pose when the drag began; what comes out depends on nothing in between.
// node: joint, or PELVIS.
// target: where it was dragged to, mm.
// away: unit vector along which one looks; the drag is in the plane at right angles to it.
// feet: whether ankles stay where they are when the pelvis moves.
export function drag(body, start, node, target, away, feet = false) {
  const all = nodes(body, start);
  if (norm(subtract(target, all[node])) < TINY) return start.map((joint) => joint.slice());
  const name = body.names[node];
  const joint = name.replace(/^(right|left)_/, "");
  const moved = all.slice();
  if (joint === "pelvis") {
    move(body, start, moved, target, away, feet);
  } else if (joint === "wrist" || joint === "ankle") {
    const limb = limbOf(body, node);
    const basis = frame(body, start, limb.pair);
    [moved[limb.mid], moved[limb.end]] = reach(body, all, limb, target, basis, all[limb.root], away);
  } else if (joint === "elbow" || joint === "knee") {
    swingLimb(body, start, all, moved, node, target, away);
  } else {
    // The head and the trunk: a bone turns and takes along what hangs from it, and both shoulders
    // or both hips are one piece.
    const pivot = body.parent[node];
    const pair = joint === "shoulder" || joint === "hip";
    const roots = pair ? [node, body.mirror[node]] : [node];
    const before = subtract(all[node], all[pivot]);
    const basis = frame(body, start, joint === "hip" ? "hip" : "shoulder");
    const sign = frontSign(basis, away, dot(before, away));
    // Past its pivot a short bone would turn half of the body over.
    const shift = without(subtract(target, all[node]), away);
    const held = times(Math.min(FURTHEST * norm(before) / Math.max(norm(shift), TINY), 1), shift);
    const to = pair ? rolled(before, held, away, sign) : swung(before, add(before, held), away, sign);
    turn(all, moved, roots.flatMap((root) => [root, ...descendants(body, root)]), pivot, unit(before), to);
  }
  return moved.slice(0, PELVIS);
}

function turn(all, moved, which, pivot, from, to) {
  for (const node of which) {
    moved[node] = add(all[pivot], carried(subtract(all[node], all[pivot]), from, to));
  }
}

// The upper bone swings, and the lower one keeps its place relative to it.
function swingLimb(body, start, all, moved, node, target, away) {
  const limb = limbOf(body, node);
  const basis = frame(body, start, limb.pair);
  const before = subtract(all[limb.mid], all[limb.root]);
  const sign = frontSign(basis, away, dot(before, away));
  const to = swung(before, subtract(target, all[limb.root]), away, sign);
  const axes = (axis) => {
    const n = natural(limb.kind, limb.side, basis, axis);
    return [axis, n, cross(axis, n)];
  };
  const [old, now] = [axes(unit(before)), axes(to)];
  const rotate = (v) => old.reduce((sum, axis, i) => add(sum, times(dot(v, axis), now[i])), [0, 0, 0]);
  moved[limb.mid] = add(all[limb.root], times(norm(before), to));
  moved[limb.end] = add(moved[limb.mid], rotate(subtract(all[limb.end], all[limb.mid])));
}

// The whole body moves, or all but its feet, as far as the legs reach.
function move(body, start, moved, target, away, feet) {
  const shift = subtract(target, moved[PELVIS]);
  const all = moved.slice();
  all.forEach((joint, i) => { moved[i] = add(joint, shift); });
  if (!feet) return;
  const basis = frame(body, start, "hip");
  for (const side of ["right", "left"]) {
    const limb = limbOf(body, body.at[`${side}_ankle`]);
    [moved[limb.mid], moved[limb.end]] = reach(body, all, limb, all[limb.end], basis, moved[limb.root], away);
  }
}

// --- both sides ----------------------------------------------------------------------------------

// The pose as in a mirror that stands upright between both sides of the body: who walks to the left
// still does, with the other foot in front. Twice, it is the pose again.
export function mirrored(body, joints) {
  const pelvis = nodes(body, joints)[PELVIS];
  const across = subtract(joints[body.at.right_hip], joints[body.at.left_hip]);
  const level = [across[0], 0, across[2]];
  // Hips one above the other tell no such mirror.
  const normal = norm(level) > 1e-3 * norm(across) ? unit(level) : [1, 0, 0];
  const reflected = joints.map((joint) => {
    const from = subtract(joint, pelvis);
    return add(pelvis, subtract(from, times(2 * dot(from, normal), normal)));
  });
  return reflected.map((_, i) => reflected[body.mirror[i]]);
}

// The arm and the leg of one side given to the other, mirrored between its shoulders and hips.
export function copied(body, joints, side) {
  const moved = joints.map((joint) => joint.slice());
  for (const tip of ["wrist", "ankle"]) {
    const own = limbOf(body, body.at[`${side}_${tip}`]);
    const normal = frame(body, joints, own.pair).right;
    let parent = body.mirror[own.root];
    let from = own.root;
    for (const to of [own.mid, own.end]) {
      const bone = subtract(joints[to], joints[from]);
      const other = body.mirror[to];
      const length = norm(subtract(joints[other], joints[parent]));
      const reflected = subtract(bone, times(2 * dot(bone, normal), normal));
      moved[other] = add(moved[parent], times(length, unit(reflected)));
      [parent, from] = [other, to];
    }
  }
  return moved;
}

// --- views ---------------------------------------------------------------------------------------

// Turned about the vertical axis through the origin, as the model's poses are: 90 turns who faces the
// camera to their left.
export function turned(joints, degrees) {
  const matrix = turning(degrees);
  return joints.map((joint) => apply(matrix, joint));
}

export function turning(degrees) {
  const angle = degrees * Math.PI / 180;
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return [[c, 0, -s], [0, 1, 0], [s, 0, c]];
}

// The rows are where right, down and away are when one walks around by `yaw` and climbs by `pitch`,
// degrees.
export function looking(yaw, pitch) {
  const angle = pitch * Math.PI / 180;
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return multiply([[1, 0, 0], [0, c, -s], [0, s, c]], turning(yaw));
}

export const apply = (matrix, v) => matrix.map((row) => dot(row, v));

export function multiply(a, b) {
  return a.map((row) => [0, 1, 2].map((j) => row[0] * b[0][j] + row[1] * b[1][j] + row[2] * b[2][j]));
}

export function centred(body, joints) {
  const pelvis = nodes(body, joints)[PELVIS];
  return joints.map((joint) => subtract(joint, pelvis));
}

export function rounded(joints, digits = 2) {
  const whole = 10 ** digits;
  return joints.map((joint) => joint.map((x) => Math.round(whole * x) / whole));
}
