// Skeletons on a canvas: in the editors, in thumbnails and over pictures.

// The colours of the page, which follow its theme.
export function colours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    right: of("right"), left: of("left"), middle: of("middle"),
    ink: of("ink"), faint: of("faint"), line: of("line"), sheet: of("sheet"), accent: of("accent"),
  };
}

// Makes a canvas as fine as the screen; returns its size in CSS pixels.
export function fit(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  canvas.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
  return { width, height };
}

// points: 15 times {x, y, z} in pixels, z away, or null for a joint that is not known.
// options: colours; width of limbs; dots: whether joints are marked; hidden: joints drawn hollow, whose
//   limbs are dashed; front: where the nose is from the middle of the head, pixels, or null.
export function skeleton(pen, body, points, { colours, width, dots = true, hidden = [], front = null }) {
  const { at } = body;
  const known = points.filter((point) => point);
  if (!known.length) return;
  const [near, far] = [Math.min(...known.map((p) => p.z)), Math.max(...known.map((p) => p.z))];
  const deep = Math.max(far - near, 1);
  const span = Math.max(...known.map((p) => p.y)) - Math.min(...known.map((p) => p.y));
  const items = [];

  const trunk = ["right_shoulder", "left_shoulder", "left_hip", "right_hip"].map((name) => points[at[name]]);
  if (trunk.every((point) => point)) {
    items.push({ z: Infinity, paint: () => polygon(pen, trunk, colours.middle, 0.16) });
  }
  const top = points[at.head_top];
  const head = points[at.head];
  for (const [a, b, side] of body.limbs) {
    if (!points[a] || !points[b] || (a === at.head_top && b === at.head)) continue;
    const z = (points[a].z + points[b].z) / 2;
    // What is further away is fainter, where depth says anything.
    const alpha = deep > 0.1 * span ? 1 - 0.4 * ((z - near) / deep) : 1;
    const dashed = hidden[a] || hidden[b];
    items.push({ z, paint: () => limb(pen, points[a], points[b], width, colours, colours[side], alpha, dashed) });
  }
  if (top && head) {
    const centre = { x: (top.x + head.x) / 2, y: (top.y + head.y) / 2 };
    const z = (top.z + head.z) / 2;
    const radius = Math.max(0.62 * Math.hypot(top.x - head.x, top.y - head.y, top.z - head.z), width);
    items.push({ z, paint: () => disc(pen, centre, radius, colours, front) });
  }
  items.sort((one, other) => other.z - one.z);
  for (const { paint } of items) paint();
  if (!dots) return;
  points.forEach((point, i) => {
    if (point) dot(pen, point, 0.62 * width, colours, hidden[i]);
  });
}

function limb(pen, a, b, width, colours, colour, alpha, dashed) {
  // A rim in the colour of the page keeps limbs apart where they cross.
  stroke(pen, a, b, width * 1.5, "butt", colours.sheet);
  pen.globalAlpha = dashed ? 0.45 : alpha;
  if (dashed) pen.setLineDash([width, 1.6 * width]);
  stroke(pen, a, b, width, "round", colour);
  pen.setLineDash([]);
  pen.globalAlpha = 1;
}

function stroke(pen, a, b, width, cap, colour) {
  pen.lineWidth = width;
  pen.lineCap = cap;
  pen.strokeStyle = colour;
  pen.beginPath();
  pen.moveTo(a.x, a.y);
  pen.lineTo(b.x, b.y);
  pen.stroke();
}

function polygon(pen, points, colour, alpha) {
  pen.globalAlpha = alpha;
  pen.fillStyle = colour;
  pen.beginPath();
  for (const { x, y } of points) pen.lineTo(x, y);
  pen.fill();
  pen.globalAlpha = 1;
}

function circle(pen, { x, y }, radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
}

function disc(pen, centre, radius, colours, front) {
  const nose = front && { x: centre.x + radius * front.x, y: centre.y + radius * front.y };
  const paintNose = () => {
    circle(pen, nose, Math.max(0.24 * radius, 1));
    pen.fillStyle = colours.sheet;
    pen.fill();
    pen.lineWidth = Math.max(0.1 * radius, 0.75);
    pen.strokeStyle = colours.middle;
    pen.stroke();
  };
  if (nose && front.z > 0) paintNose();
  circle(pen, centre, radius);
  pen.fillStyle = colours.middle;
  pen.fill();
  if (nose && front.z <= 0) paintNose();
}

function dot(pen, point, radius, colours, hollow) {
  circle(pen, point, radius);
  pen.fillStyle = colours.sheet;
  pen.globalAlpha = hollow ? 0.6 : 1;
  pen.fill();
  pen.globalAlpha = 1;
  pen.lineWidth = Math.max(radius / 3, 1);
  pen.strokeStyle = colours.ink;
  if (hollow) pen.setLineDash([2, 2]);
  pen.stroke();
  pen.setLineDash([]);
}

export function ring(pen, point, radius, colour, width = 3) {
  circle(pen, point, radius);
  pen.lineWidth = width;
  pen.strokeStyle = colour;
  pen.stroke();
}

// The name of a joint beside it, within a canvas of a width.
export function label(pen, text, { x, y }, { colours, width }) {
  pen.font = "600 13px system-ui, sans-serif";
  const long = pen.measureText(text).width;
  const left = x + 16 + long > width - 4 ? x - 16 - long : x + 16;
  pen.lineJoin = "round";
  pen.lineWidth = 4;
  pen.strokeStyle = colours.sheet;
  pen.strokeText(text, left, y - 10);
  pen.fillStyle = colours.ink;
  pen.fillText(text, left, y - 10);
}
