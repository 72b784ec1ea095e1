// The picture that the model made, with or without what lies beneath and above it.

import * as draw from "./draw.js";

// By how much more red and blue than green, of 255, magenta is told, the model's background.
const MAGENTA = 255;
const BACKGROUND = 215; // what counts as nothing else
const EDGE = 2; // pixels from the background that may be mixed with it

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
    // A copy: frames are dropped when another motion comes.
    this.bitmap ??= document.createElement("canvas");
    paintPerson(this.bitmap, bitmap, true);
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
  clear(image);
  pen.putImageData(image, 0, 0);
}

// Makes magenta transparent, and takes its share out of the pixels beside it.
function clear({ data, width, height }) {
  const excess = (i) => Math.min(data[4 * i], data[4 * i + 2]) - data[4 * i + 1];
  const near = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (excess(y * width + x) < BACKGROUND) continue;
      for (let v = Math.max(y - EDGE, 0); v <= Math.min(y + EDGE, height - 1); v++) {
        near.fill(1, v * width + Math.max(x - EDGE, 0), v * width + Math.min(x + EDGE, width - 1) + 1);
      }
    }
  }
  near.forEach((edge, i) => {
    const share = Math.min(Math.max(excess(i), 0) / MAGENTA, 1);
    const alpha = excess(i) < BACKGROUND ? 1 - share : 0;
    // Away from the background, purple is what somebody wears.
    if (!edge || alpha === 1) return;
    for (const [c, level] of [[0, 255], [1, 0], [2, 255]]) {
      const own = (data[4 * i + c] - (1 - alpha) * level) / Math.max(alpha, 0.05);
      data[4 * i + c] = Math.min(Math.max(own, 0), 255);
    }
    data[4 * i + 3] = Math.round(255 * alpha);
  });
}
