// The page: a picture, its joints, and the person in other poses.
//
// What the user made is kept here, pictures in memory and the pose in localStorage: a server that comes
// back is sent what it no longer knows.

import { Refused, Server } from "./api.js";
import { Editor, thumbnail } from "./editor.js";
import * as files from "./files.js";
import { Marker } from "./marker.js";
import { Player } from "./player.js";
import * as skeleton from "./skeleton.js";
import { View, paintPerson } from "./view.js";

const KEPT = "volsynth-studio-pose";
const TURNTABLE = "turntable";
const TURNTABLE_FRAMES = 48;
const TURNTABLE_FPS = 12;
const HISTORY = 200;
const ONE_STEP = 1000; // ms between key strokes that are undone together

const $ = (id) => document.getElementById(id);
const hundredths = (joints) => joints.map((joint) => joint.map((x) => Math.round(100 * x) / 100));

let about = null;
let body = null;
let editor = null;
let marker = null;
let view = null;
let player = null;

let source = null; // the person that is shown: {blob, mask, answer, sent, person}
let draft = null; // a picture on its way to that: {blob, mask, answer, points, mm, hidden, whole}
let pose = null; // the pose wanted: {joints, turn}
let lengths = null; // of the person's bones, or null where a pose keeps its own
const past = [];
const future = [];
let lastKey = { node: null, time: 0 };

// --- what is said --------------------------------------------------------------------------------

const STATES = {
  gone: "The server does not answer. Your picture and your pose are kept here; trying again …",
  busy: "The server is busy; trying again …",
};
let serverState = "";
let activity = "";
let slow = 0;

function tell() {
  $("notice").textContent = STATES[serverState] ?? activity;
  $("notice").hidden = !$("notice").textContent;
}

const server = new Server((state) => {
  clearTimeout(slow);
  const set = () => {
    serverState = state;
    tell();
  };
  // Who drags quickly need not know of every short wait.
  if (state === "busy") slow = setTimeout(set, 1500);
  else set();
});

function complain(text) {
  $("message-text").textContent = text;
  $("message").hidden = !text;
}

// Does something that the user asked for; what the server refuses is said.
async function attempt(text, action) {
  complain("");
  activity = text;
  tell();
  try {
    await action();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    complain(error.message);
  } finally {
    activity = "";
    tell();
  }
}

const STEPS = ["start", "joints", "studio"];

function show(step) {
  for (const name of STEPS) {
    $(name).hidden = name !== step;
    if (name === step) $(`to-${name}`).setAttribute("aria-current", "step");
    else $(`to-${name}`).removeAttribute("aria-current");
  }
  if (step !== "studio") player.pause();
  $("to-joints").disabled = !draft?.points;
  $("to-studio").disabled = !source;
  if (step === "studio") editor.paint();
  window.scrollTo(0, 0);
}

// --- the picture ---------------------------------------------------------------------------------

let latest = 0; // of pictures that were dropped: the last one counts

function take(list) {
  const given = files.sort(list);
  const asked = !$("start").hidden && !$("mask-wanted").hidden;
  if (given.picture && asked && !given.mask && !given.poses) return useMask(given.picture);
  if (given.picture) return attempt("Reading the picture …", () => newPicture(given));
  if (given.poses) return attempt("Reading the poses …", () => openPoses(given.poses));
  return complain("There was no file in that.");
}

async function newPicture({ picture, mask, poses }) {
  const mine = ++latest;
  let answer = await server.picture(picture);
  if (mask) answer = await server.mask(answer.picture, mask);
  const found = poses ? await ofPicture(poses) : null;
  if (mine !== latest) return;
  draft = { blob: picture, mask, answer, given: found };
  if (answer.background === "unknown") askMask();
  else await arrived();
}

// The pose in pixels of a file.
async function ofPicture(file) {
  const { poses } = await server.poses(file);
  const found = poses.find((each) => each.joints_px);
  if (!found) throw new Refused(422, `${file.name} has no pose in pixels: joints_px.`);
  return found;
}

function askMask() {
  const preview = $("mask-preview");
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(draft.blob);
  $("mask-why").textContent = draft.answer.explanation
    ?? "The picture’s background was not removed. Give a mask of the same size, white where the person is; or take a picture with a transparent background.";
  $("mask-wanted").hidden = false;
  $("choose").hidden = true;
  show("start");
  $("choose-mask").focus();
}

function noMask() {
  $("mask-wanted").hidden = true;
  $("choose").hidden = false;
}

function useMask(mask) {
  return attempt("Reading the mask …", async () => {
    const mine = draft;
    const answer = await again(mine, (picture) => server.mask(picture, mask));
    if (mine !== draft) return;
    Object.assign(draft, { mask, answer });
    await arrived();
  });
}

// What the server has forgotten of a picture, it is sent again.
async function again(of, use) {
  try {
    return await use(of.answer.picture);
  } catch (error) {
    if (error.status !== 410) throw error;
    let answer = await server.picture(of.blob);
    if (of.mask) answer = await server.mask(answer.picture, of.mask);
    of.answer = answer;
    return use(answer.picture);
  }
}

async function arrived() {
  noMask();
  setJoints(draft.given ?? draft.answer.pose);
  if (draft.given || draft.answer.pose.from === "estimator") {
    try {
      await usePerson();
      return;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      complain(error.message);
    }
  }
  await showJoints();
}

function setJoints(found) {
  const guess = draft.answer.pose;
  draft.hidden = found.joints_px.map((joint) => joint === null);
  draft.points = found.joints_px.map((joint, i) => (joint ?? guess.joints_px[i]).slice());
  draft.mm = found.joints_mm?.map((joint, i) => (joint ?? guess.joints_mm[i]).slice()) ?? null;
  draft.scale = draft.mm ? millimetresPerPixel(draft.mm, draft.points) : 0;
}

function millimetresPerPixel(mm, points) {
  const mean = (list, axis) => list.reduce((sum, joint) => sum + joint[axis], 0) / list.length;
  let [across, both] = [0, 0];
  for (const axis of [0, 1]) {
    const [a, b] = [mean(mm, axis), mean(points, axis)];
    mm.forEach((joint, i) => {
      across += (joint[axis] - a) ** 2;
      both += (joint[axis] - a) * (points[i][axis] - b);
    });
  }
  return both > 0 ? across / both : 0;
}

async function showJoints() {
  const mine = draft;
  const from = draft.given ? "the file" : draft.answer.pose.from;
  $("joints-text").textContent = from === "guess"
    ? "Drag each joint to where it is. Depth is that of the guess; a joint that the picture does not show can be left out."
    : `This is what ${from === "estimator" ? "the estimator" : from} says. Drag a joint to correct it.`;
  if (!mine.image) {
    const blob = await again(mine, (picture) => server.image(`picture/${picture}`));
    mine.image = await createImageBitmap(blob);
    if (mine !== draft) return;
  }
  show("joints");
  marker.set(mine.image, mine.answer.width, mine.answer.height, mine.points, mine.hidden);
}

async function usePerson() {
  const mine = draft;
  mine.sent = {
    joints_px: hundredths(mine.points).map((point, i) => (mine.hidden[i] ? null : point)),
    joints_mm: mine.mm && hundredths(mine.mm),
  };
  const person = await again(mine, (picture) => server.person(picture, mine.sent));
  if (mine !== draft) return;
  mine.person = person;
  await enter(mine);
}

// --- the person ----------------------------------------------------------------------------------

// What is known of a person of whom the server has no longer heard.
let recovering = null;

async function withPerson(use) {
  for (let attempts = 0; ; attempts++) {
    try {
      return await use(source.person.person);
    } catch (error) {
      if (error.status !== 410 || attempts === 2) throw error;
      recovering ??= recover(source).finally(() => { recovering = null; });
      await recovering;
    }
  }
}

async function recover(of) {
  if (of.blob) {
    of.person = await again(of, (picture) => server.person(picture, of.sent));
  } else {
    const { person } = await server.about();
    if (!person) throw new Refused(410, "The server no longer knows this person: drop the picture again.");
    of.person = person;
  }
}

async function enter(person) {
  source = person;
  motionKey = null;
  const own = person.person;
  const average = skeleton.lengths(body, about.poses[0].joints_mm);
  lengths = own.flat ? null : skeleton.symmetric(body, own.bones, average);
  if (pose) change({ joints: fitted(pose.joints), turn: pose.turn }, "end");
  else begin({ joints: fitted(own.joints_mm), turn: 0 });
  leaveMotion();
  show("studio");
  const bitmap = await createImageBitmap(await withPerson((id) => server.image(`person/${id}`)));
  if (source === person) {
    person.bitmap = bitmap;
    paintSource();
  }
}

function paintSource() {
  if (source?.bitmap) paintPerson($("source"), source.bitmap, $("raw").checked);
}

// A pose with the person's bones, around the origin.
function fitted(joints) {
  const around = skeleton.centred(body, joints);
  return lengths ? skeleton.withLengths(body, around, lengths) : around;
}

// --- the pose ------------------------------------------------------------------------------------

function begin(first) {
  past.length = future.length = 0;
  pose = first;
  posed();
}

// how: "drag" while it goes on, "key" or "end"; what came before can be had back.
let before = null; // while dragging

function change(next, how = "end", node = null) {
  if (how === "drag") {
    before ??= pose;
  } else {
    const now = performance.now();
    const sameKey = how === "key" && lastKey.node === node && now - lastKey.time < ONE_STEP && past.length;
    lastKey = { node: how === "key" ? node : null, time: now };
    if (!sameKey) past.push(before ?? pose);
    if (past.length > HISTORY) past.shift();
    before = null;
    future.length = 0;
  }
  pose = next;
  posed();
}

function undo(from, to) {
  if (!from.length || editor.locked) return;
  to.push(pose);
  pose = from.pop();
  lastKey.node = null;
  posed();
}

function posed() {
  if (!editor.locked) editor.set(pose.joints, pose.turn);
  $("turn").value = pose.turn;
  $("turn-value").textContent = `${pose.turn}°`;
  $("undo").disabled = !past.length;
  $("redo").disabled = !future.length;
  keep();
  version++;
  follow();
}

function keep() {
  try {
    localStorage.setItem(KEPT, JSON.stringify({ joints: hundredths(pose.joints), turn: pose.turn }));
  } catch {
    // No room, or not allowed: it is here as long as the page is.
  }
}

function kept() {
  try {
    const { joints } = JSON.parse(localStorage.getItem(KEPT));
    const sound = joints.length === skeleton.PELVIS
      && joints.every((joint) => joint.length === 3 && joint.every(Number.isFinite));
    return sound ? joints : null;
  } catch {
    return null;
  }
}

// --- the picture that follows it -------------------------------------------------------------------

let version = 0; // of the pose
let made = -1; // which of them is shown
let following = false;
let last = null; // {bitmap, joints, seconds, blob}

// One request at a time, and the next one with what is wanted by then.
async function follow() {
  if (following || !source) return;
  following = true;
  try {
    while (made !== version) {
      let sent = version;
      try {
        const found = await withPerson((person) => server.render(() => {
          sent = version;
          return { person, joints_mm: hundredths(pose.joints), turn: pose.turn };
        }));
        const bitmap = await createImageBitmap(found.blob);
        last?.bitmap.close();
        last = { ...found, bitmap };
        $("save-picture").disabled = false;
        if (!editor.locked) showLast();
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        complain(error.message);
      }
      made = sent;
    }
  } finally {
    following = false;
  }
}

function showLast() {
  if (!last) return;
  view.set(last.bitmap, last.joints);
  $("picture").dataset.version = made + 1;
  const { width, height } = last.bitmap;
  $("time").textContent = `${width} × ${height} pixels · ${last.seconds.toFixed(2)} s`;
  $("overlay").disabled = !last.joints;
}

// --- files of poses --------------------------------------------------------------------------------

let opened = null; // a motion from a file: {name, poses, fps}

async function openPoses(file) {
  const { poses, fps } = await server.poses(file);
  if (!$("joints").hidden && draft?.points && poses[0]?.joints_px) {
    draft.given = poses[0];
    setJoints(poses[0]);
    await showJoints();
    return;
  }
  if (!source) {
    throw new Refused(422, "Drop the picture first, or both together; then poses can be opened.");
  }
  const sound = poses.filter((each) => each.joints_mm?.every((joint) => joint));
  if (!sound.length) throw new Refused(422, `${file.name} has no whole pose in mm: joints_mm of all 15 joints.`);
  show("studio");
  if (sound.length === 1) {
    leaveMotion();
    change({ joints: fitted(sound[0].joints_mm), turn: pose.turn });
    return;
  }
  opened = { name: file.name, poses: sound.map((each) => each.joints_mm), fps: fps ?? 25 };
  $("motions").querySelector("option[value='file']")?.remove();
  $("motions").add(new Option(file.name, "file"));
  $("motions").value = "file";
  await playMotion();
}

// --- motions ---------------------------------------------------------------------------------------

let motionKey = null; // what the loaded frames are of

function leaveMotion() {
  player.pause();
  $("player").hidden = true;
  editor.locked = false;
  editor.frame(null);
  if (pose) {
    editor.set(pose.joints, pose.turn);
    showLast();
  }
}

function wantedMotion() {
  const name = $("motions").value;
  if (name === TURNTABLE) {
    const poses = Array.from({ length: TURNTABLE_FRAMES }, (_, i) =>
      hundredths(skeleton.turned(pose.joints, pose.turn + 360 * i / TURNTABLE_FRAMES)));
    return { poses, fps: TURNTABLE_FPS };
  }
  if (name === "file") return { poses: opened.poses, fps: opened.fps, turn: pose.turn };
  return { name: name.slice("built-in:".length), turn: pose.turn };
}

async function playMotion() {
  const wanted = wantedMotion();
  const key = JSON.stringify([source.person.person, wanted]);
  if (key !== motionKey) {
    const found = await withPerson((person) => server.motion({ person, ...wanted }));
    motionKey = key;
    player.load({ ...found, wanted });
  }
  editor.locked = true;
  $("player").hidden = false;
  editor.frame(player.motion.joints_mm.flat());
  $("frame").max = player.motion.frames - 1;
  player.seek(player.index);
  player.play();
}

async function fetchStrip(motion, start) {
  try {
    return await server.image(`motion/${motion.motion}/${start}`);
  } catch (error) {
    if (error.status !== 410) throw error;
    await remake(motion);
    return server.image(`motion/${motion.motion}/${start}`);
  }
}

// The same motion again, for a server that has forgotten it.
async function remake(motion) {
  const found = await withPerson((person) => server.motion({ person, ...motion.wanted }));
  motion.motion = found.motion;
}

function showFrame(bitmap, index, ready) {
  if (!editor.locked) return;
  const { motion } = player;
  editor.set(motion.joints_mm[index], motion.wanted.turn ?? 0);
  if (bitmap) {
    view.set(bitmap, motion.joints_px?.[index] ?? null);
    $("picture").dataset.frame = index;
  }
  $("frame").value = index;
  $("frame-value").textContent = `${index + 1} / ${motion.frames}`;
  $("time").textContent = ready < motion.frames
    ? `${ready} of ${motion.frames} frames made`
    : `${motion.frames} frames · ${motion.fps} a second`;
}

async function saveClip(kind) {
  const { motion } = player;
  const fetchClip = () => server.image(`motion/${motion.motion}/clip.${kind}`);
  const blob = await fetchClip().catch(async (error) => {
    if (error.status !== 410) throw error;
    await remake(motion);
    return fetchClip();
  });
  files.save(blob, `volsynth.${kind}`);
}

function takeFrame() {
  const { joints_mm, wanted } = player.motion;
  const taken = { joints: fitted(joints_mm[player.index]), turn: wanted.turn ?? 0 };
  leaveMotion();
  change(taken);
}

// --- what can be pressed ---------------------------------------------------------------------------

function buildLibrary() {
  const last = kept();
  const all = [{ name: "in the picture", own: true }, ...about.poses];
  if (last) all.push({ name: "last time", joints_mm: last });
  const drawn = [];
  $("poses").replaceChildren(...all.map(({ name, joints_mm, own }) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.pose = name;
    const canvas = document.createElement("canvas");
    canvas.setAttribute("aria-hidden", "true");
    const text = document.createElement("span");
    text.textContent = name.replaceAll("_", " ");
    button.append(canvas, text);
    button.title = text.textContent;
    button.addEventListener("click", () => {
      leaveMotion();
      change({ joints: fitted(own ? source.person.joints_mm : joints_mm), turn: pose.turn });
    });
    item.append(button);
    drawn.push(() => {
      const joints = own ? source?.person.joints_mm : joints_mm;
      if (joints && canvas.clientWidth) thumbnail(canvas, body, skeleton.centred(body, joints));
    });
    return item;
  }));
  new ResizeObserver(() => drawn.forEach((paint) => paint())).observe($("poses"));
  return () => drawn.forEach((paint) => paint());
}

function buildMotions() {
  const options = about.motions.map(({ name }) => new Option(name.replaceAll("_", " "), `built-in:${name}`));
  $("motions").replaceChildren(new Option("turntable", TURNTABLE), ...options);
  const kinds = about.clips ?? ["gif"];
  $("clips").replaceChildren(...kinds.map((kind) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `Save ${kind.toUpperCase()}`;
    button.addEventListener("click", () => attempt("Making the clip …", () => saveClip(kind)));
    return button;
  }));
}

function listen() {
  const on = (id, event, action) => $(id).addEventListener(event, action);
  const chooser = $("files");
  const choose = (accept, multiple) => {
    chooser.accept = accept;
    chooser.multiple = multiple;
    chooser.value = "";
    chooser.click();
  };
  const poses = ".json,application/json,.csv,text/csv";
  const pictures = `image/*,${poses}`;
  on("choose", "click", () => choose(pictures, true));
  on("choose-mask", "click", () => choose("image/*", false));
  on("another", "click", () => {
    draft = null;
    noMask();
    show("start");
    choose(pictures, true);
  });
  on("open-pose", "click", () => choose(poses, false));
  chooser.addEventListener("change", () => chooser.files.length && take(chooser.files));

  on("message-close", "click", () => complain(""));
  on("to-start", "click", () => show("start"));
  on("to-joints", "click", () => attempt("", showJoints));
  on("to-studio", "click", () => show("studio"));

  on("hide", "click", () => marker.toggle());
  on("whole", "click", () => marker.show(true));
  on("over", "click", () => {
    setJoints(draft.answer.pose);
    attempt("", showJoints);
  });
  on("exchange", "click", () => {
    for (const key of ["points", "mm", "hidden"]) {
      if (draft[key]) draft[key] = draft[key].map((_, i) => draft[key][body.mirror[i]]);
    }
    attempt("", showJoints);
  });
  on("go", "click", () => attempt("Cutting out the person …", usePerson));

  const changed = (make) => () => {
    leaveMotion();
    change({ joints: make(pose.joints), turn: pose.turn });
  };
  on("undo", "click", () => undo(past, future));
  on("redo", "click", () => undo(future, past));
  on("mirror", "click", changed((joints) => skeleton.mirrored(body, joints)));
  on("right-to-left", "click", changed((joints) => skeleton.copied(body, joints, "right")));
  on("left-to-right", "click", changed((joints) => skeleton.copied(body, joints, "left")));
  on("reset", "click", () => {
    leaveMotion();
    change({ joints: fitted(source.person.joints_mm), turn: 0 });
  });
  on("feet", "change", () => { editor.feet = $("feet").checked; });
  on("turn", "input", () => {
    if (editor.locked) leaveMotion();
    change({ joints: pose.joints, turn: Number($("turn").value) }, "drag");
  });
  on("turn", "change", () => change(pose, "end"));
  for (const name of ["camera", "side", "above"]) on(`view-${name}`, "click", () => editor.look(name));

  const showing = () => {
    view.show({ raw: $("raw").checked, skeleton: $("overlay").checked });
    paintSource();
  };
  on("overlay", "change", showing);
  on("raw", "change", showing);
  on("save-picture", "click", savePicture);
  on("save-pose", "click", () => {
    // The turn is a part of it.
    const text = files.poseFile(skeleton.turned(pose.joints, pose.turn), "studio");
    files.save(new Blob([text], { type: "application/json" }), "pose.json");
  });

  on("play", "click", () => {
    if (player.playing) player.pause();
    else attempt("", playMotion);
  });
  on("motions", "change", () => {
    if (editor.locked) attempt("", playMotion);
  });
  on("loop", "change", () => { player.loop = $("loop").checked; });
  on("speed", "change", () => { player.speed = Number($("speed").value); });
  on("frame", "input", () => {
    player.pause();
    player.seek(Number($("frame").value));
  });
  on("take", "click", takeFrame);
  on("stop", "click", leaveMotion);

  document.addEventListener("keydown", (event) => {
    if ($("studio").hidden || !(event.ctrlKey || event.metaKey) || event.altKey) return;
    const key = event.key.toLowerCase();
    if (key !== "z" && key !== "y") return;
    event.preventDefault();
    if (key === "y" || event.shiftKey) undo(future, past);
    else undo(past, future);
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) take(event.clipboardData.files);
  });
  let inside = 0;
  const isFile = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => {
    if (isFile(event) && ++inside === 1) $("dropping").hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (isFile(event) && --inside === 0) $("dropping").hidden = true;
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    inside = 0;
    $("dropping").hidden = true;
    if (event.dataTransfer.files.length) take(event.dataTransfer.files);
  });
}

// What is to be seen, as the model made it.
function savePicture() {
  if (!editor.locked) {
    files.save(last.blob, "volsynth.png");
    return;
  }
  const frame = player.frames[player.index];
  if (!frame) return;
  const canvas = document.createElement("canvas");
  paintPerson(canvas, frame, true);
  canvas.toBlob((blob) => files.save(blob, `volsynth-${player.index}.png`));
}

function looked(name) {
  for (const each of ["camera", "side", "above"]) {
    $(`view-${each}`).setAttribute("aria-pressed", String(each === name));
  }
  $("view").textContent = name === "camera" ? "As the camera sees it" : "For looking only: the picture stays the camera’s";
}

async function begun() {
  // A file that is dropped before the page listens must not take its place.
  for (const kind of ["dragover", "drop"]) {
    document.addEventListener(kind, (event) => event.preventDefault());
  }
  player = new Player({
    fetchStrip,
    show: showFrame,
    state: (playing) => { $("play").textContent = playing ? "Pause" : "Play"; },
    failed: (error) => complain(error.message),
  });
  about = await server.about();
  body = skeleton.makeBody(about);
  editor = new Editor($("stage"), body, {
    change: (joints, how, node) => change({ joints, turn: pose.turn }, how, node),
    looked,
  });
  marker = new Marker($("joints-stage"), body, {
    change: (joint, [dx, dy]) => {
      if (!draft.mm) return;
      const [x, y, z] = draft.mm[joint];
      draft.mm[joint] = [x + draft.scale * dx, y + draft.scale * dy, z];
    },
    select: (joint) => {
      $("hide").disabled = joint === null;
      $("hide").setAttribute("aria-pressed", String(joint !== null && draft.hidden[joint]));
    },
  });
  view = new View($("picture"), $("picture-overlay"), body);
  const { system, image_size: side } = about.model;
  $("model").textContent = `${system}, ${side} × ${side} pixels${about.estimator ? ", with an estimator of poses" : ""}`;
  looked("camera");
  const paintLibrary = buildLibrary();
  buildMotions();
  listen();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const each of [editor, marker]) each.paint();
    view.paint();
    paintLibrary();
  });
  show("start");
  if (about.person) await attempt("", () => enter({ person: about.person }));
}

begun();
