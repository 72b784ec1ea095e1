// The picture that the model made, with or without what lies beneath and above it.

import * as draw from "./draw.js";

// Of 255, how much more red and blue than green tells magenta, the model's background; in between,
// a pixel is taken for a mixture.
const PERSON = 110;
const BACKGROUND = 225;

export class View {
  constructor(canvas, overlay, body) {
    this.canvas = canvas;
    this.overlay = overlay;
    this.body = body;
    this.raw = this.skeleton = false;
    this.bitmap = this.joints = null;
    new ResizeObserver(() => this.paintOverlay()).observe(overlay);
  }

  // bitmap: square; joints: 15 times [x, y] in its pixels, or null where they are not known.
  set(bitmap, joints) {
    this.bitmap = bitmap;
    this.joints = joints;
    this.paint();
  }

  show({ raw, skeleton }) {
    this.raw = raw;
    this.skeleton = skeleton;
    this.paint();
  }

  paint() {
    if (!this.bitmap) return;
    paintPerson(this.canvas, this.bitmap, this.raw);
    this.paintOverlay();
  }

  paintOverlay() {
    const { width } = draw.fit(this.overlay);
    const pen = this.overlay.getContext("2d");
    pen.clearRect(0, 0, this.overlay.clientWidth, this.overlay.clientHeight);
    if (!this.skeleton || !this.joints || !this.bitmap) return;
    const scale = width / this.bitmap.width;
    const points = this.joints.map((joint) => joint && { x: scale * joint[0], y: scale * joint[1], z: 0 });
    const style = { colours: draw.colours(), width: Math.max(0.012 * width, 2.5) };
    pen.globalAlpha = 0.85;
    draw.skeleton(pen, this.body, points, style);
  }
}

// A picture on magenta; `raw`: as it is, otherwise without the magenta.
export function paintPerson(canvas, bitmap, raw) {
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  }
  canvas.classList.toggle("raw", raw);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(bitmap, 0, 0);
  if (raw) return;
  const image = pen.getImageData(0, 0, canvas.width, canvas.height);
  clear(image.data);
  pen.putImageData(image, 0, 0);
}

// Makes magenta transparent, and takes its share out of the pixels at the edge.
function clear(data) {
  for (let i = 0; i < data.length; i += 4) {
    const excess = Math.min(data[i], data[i + 2]) - data[i + 1];
    if (excess <= PERSON) continue;
    const alpha = Math.max((BACKGROUND - excess) / (BACKGROUND - PERSON), 0);
    // Near the threshold little is taken out, or purple clothes would lose their colour at once.
    const share = 1 - alpha;
    for (const c of [0, 2]) {
      data[i + c] = Math.min(Math.max((data[i + c] - 255 * share) / Math.max(alpha, 0.05), 0), 255);
    }
    data[i + 1] = Math.min(data[i + 1] / Math.max(alpha, 0.05), 255);
    data[i + 3] = Math.round(255 * alpha);
  }
}
