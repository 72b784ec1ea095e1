// The skeleton in three dimensions, to drag.

import * as draw from "./draw.js";
import { put } from "./gestures.js";
import * as skeleton from "./skeleton.js";
import { Stage } from "./stage.js";

const HALF = 1180; // mm from the middle of the stage to its edge
const DEGREES_PER_PIXEL = 0.4;
const STEP = 10; // mm of an arrow key
const FLOOR = 560; // mm, the radius of the ground that is drawn
const SOLE = 85; // mm from the ankle to the ground

export const VIEWS = { camera: [0, 0], side: [90, 0], above: [0, 80] };

export class Editor extends Stage {
  // change(joints, how): the pose was changed; how is "drag" while it is dragged, "end" after that,
  // "key". looked(): the view has changed.
  constructor(element, body, { change, looked }) {
    super(element, body, body.names);
    this.change = change;
    this.looked = looked;
    this.joints = null;
    this.turn = 0;
    this.feet = false;
    this.locked = false; // while a motion is shown
    this.reach = HALF;
    this.origin = [0, 0, 0]; // what stands in the middle, mm
    this.from = null; // the pose and the place when a drag began
    this.look("camera");
  }

  set(joints, turn) {
    this.joints = joints;
    this.turn = turn;
    this.paint();
  }

  look(name) {
    [this.yaw, this.pitch] = VIEWS[name];
    this.zoom = 1;
    this.middle = [0, 0]; // of what is shown, pixels from the middle of the stage
    this.looked(name);
    this.paint();
  }

  // Shows all of some points, or, for null, what is around the pelvis of a pose.
  frame(points) {
    this.origin = [0, 0, 0];
    this.reach = HALF;
    if (points) {
      const axes = [0, 1, 2].map((axis) => points.map((point) => point[axis]));
      const [low, high] = [axes.map((x) => Math.min(...x)), axes.map((x) => Math.max(...x))];
      this.origin = skeleton.middle(low, high);
      this.reach = Math.max(HALF, 0.6 * Math.max(...skeleton.subtract(high, low)));
    }
    this.paint();
  }

  // The name of the view, if it has one.
  get view() {
    const found = Object.entries(VIEWS).find(([, [yaw, pitch]]) => yaw === this.yaw && pitch === this.pitch);
    return found?.[0] ?? "";
  }

  // Rows: right, down and away of the view, in the axes of the pose.
  get matrix() {
    return skeleton.multiply(skeleton.looking(this.yaw, this.pitch), skeleton.turning(this.turn));
  }

  get scale() {
    return this.zoom * Math.min(this.canvas.clientWidth, this.canvas.clientHeight) / (2 * this.reach);
  }

  project(points, matrix = this.matrix) {
    const { scale } = this;
    const x = this.canvas.clientWidth / 2 + this.middle[0];
    const y = this.canvas.clientHeight / 2 + this.middle[1];
    const origin = skeleton.apply(matrix, this.origin);
    return points.map((point) => {
      const seen = skeleton.subtract(skeleton.apply(matrix, point), origin);
      return { x: x + scale * seen[0], y: y + scale * seen[1], z: scale * seen[2] };
    });
  }

  nodes() {
    return skeleton.nodes(this.body, this.joints);
  }

  hit(x, y, near) {
    if (this.locked || !this.joints) return null;
    let best = null;
    this.project(this.nodes()).forEach((point, i) => {
      const distance = Math.hypot(point.x - x, point.y - y);
      // Of two in one place the nearer one to the eye.
      const rank = distance + 0.02 * point.z;
      if (distance <= near && (best === null || rank < best.rank)) best = { rank, i };
    });
    return best && best.i;
  }

  select(node) {
    this.selected = node;
    this.paint();
  }

  released() {
    this.select(null);
  }

  take(node, x, y) {
    this.from = { joints: this.joints, x, y, at: this.nodes()[node] };
  }

  drag(node, x, y) {
    const { joints, at } = this.from;
    const [right, down, away] = this.matrix;
    const { scale } = this;
    const across = skeleton.times((x - this.from.x) / scale, right);
    const target = skeleton.add(at, skeleton.add(across, skeleton.times((y - this.from.y) / scale, down)));
    this.joints = skeleton.drag(this.body, joints, node, target, away, this.feet);
    this.paint();
    this.change(this.joints, "drag");
  }

  drop(moved) {
    this.from = null;
    if (moved) this.change(this.joints, "end");
  }

  step(node, x, y) {
    if (this.locked || !this.joints) return;
    const [right, down, away] = this.matrix;
    const shift = skeleton.add(skeleton.times(STEP * x, right), skeleton.times(STEP * y, down));
    const target = skeleton.add(this.nodes()[node], shift);
    this.joints = skeleton.drag(this.body, this.joints, node, target, away, this.feet);
    this.paint();
    this.change(this.joints, "key", node);
  }

  beneath(dx, dy) {
    this.yaw = ((this.yaw + DEGREES_PER_PIXEL * dx + 540) % 360) - 180;
    this.pitch = Math.min(Math.max(this.pitch + DEGREES_PER_PIXEL * dy, -89), 89);
    this.looked(this.view);
    this.paint();
  }

  zoomAt(factor, x, y) {
    const zoom = Math.min(Math.max(this.zoom * factor, 0.5), 5);
    const share = zoom / this.zoom;
    const centre = [this.canvas.clientWidth / 2, this.canvas.clientHeight / 2];
    this.middle = this.middle.map((shift, i) => {
      const pointer = [x, y][i] - centre[i];
      return pointer + share * (shift - pointer);
    });
    this.zoom = zoom;
    this.paint();
  }

  pan(dx, dy) {
    this.middle = [this.middle[0] + dx, this.middle[1] + dy];
    this.paint();
  }

  resized() {
    this.paint();
  }

  paint() {
    if (!this.joints || !this.canvas.clientWidth) return;
    const { pen, width } = this.clear();
    const colours = draw.colours();
    const points = this.project(this.nodes());
    this.ground(pen, colours);
    const limb = Math.max(58 * this.scale, 5);
    const front = noseOf(this.body, this.joints, this.matrix);
    const style = { colours, width: limb, front, dots: !this.locked };
    draw.skeleton(pen, this.body, points.slice(0, skeleton.PELVIS), style);
    this.buttons.forEach((button, i) => put(button, points[i], this.locked));
    if (this.locked) return;
    const pelvis = points[skeleton.PELVIS];
    draw.ring(pen, pelvis, 0.5 * limb, colours.ink, 2);
    const named = this.from ? this.selected : this.hovered ?? this.selected;
    if (this.selected !== null) draw.ring(pen, points[this.selected], 1.05 * limb, colours.accent);
    if (named !== null) {
      draw.label(pen, this.body.names[named].replace("_", " "), points[named], { colours, width });
    }
  }

  // The ground beneath the feet, and where the camera stands, which the turn of the pose leaves alone.
  ground(pen, colours) {
    const floor = Math.max(...this.joints.map((joint) => joint[1])) + SOLE;
    const matrix = skeleton.looking(this.yaw, this.pitch);
    const circle = Array.from({ length: 60 }, (_, i) => {
      const angle = 2 * Math.PI * i / 60;
      return [this.origin[0] + FLOOR * Math.cos(angle), floor, this.origin[2] + FLOOR * Math.sin(angle)];
    });
    const rim = this.project(circle, matrix);
    pen.beginPath();
    for (const { x, y } of rim) pen.lineTo(x, y);
    pen.closePath();
    pen.fillStyle = pen.strokeStyle = colours.line;
    pen.globalAlpha = 0.35;
    pen.fill();
    pen.globalAlpha = 1;
    pen.lineWidth = 1;
    pen.stroke();
    if (this.view === "camera") return;
    const z = this.origin[2];
    const arrow = [[0, floor, z - 1000], [0, floor, z - 640], [-60, floor, z - 740], [60, floor, z - 740]];
    const [tail, tip, one, other] = this.project(arrow.map((p) => [p[0] + this.origin[0], p[1], p[2]]), matrix);
    pen.strokeStyle = pen.fillStyle = colours.faint;
    pen.lineWidth = 2;
    pen.beginPath();
    pen.moveTo(tail.x, tail.y);
    pen.lineTo(tip.x, tip.y);
    pen.moveTo(one.x, one.y);
    pen.lineTo(tip.x, tip.y);
    pen.lineTo(other.x, other.y);
    pen.stroke();
    pen.font = "13px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.fillText("camera", tail.x, tail.y + 16);
    pen.textAlign = "left";
  }
}

// Where the person looks, as `draw.skeleton` wants it: of the length 1, in the axes of the view.
export function noseOf(body, joints, matrix) {
  const [x, y, z] = skeleton.apply(matrix, skeleton.frame(body, joints, "shoulder").front);
  return { x, y, z };
}

// A small picture of a pose, for the library.
export function thumbnail(canvas, body, joints) {
  const { width, height } = draw.fit(canvas);
  const matrix = skeleton.looking(-20, 6);
  const seen = joints.map((joint) => skeleton.apply(matrix, joint));
  const low = [0, 1].map((axis) => Math.min(...seen.map((joint) => joint[axis])));
  const high = [0, 1].map((axis) => Math.max(...seen.map((joint) => joint[axis])));
  const scale = 0.86 * Math.min(width / Math.max(high[0] - low[0], 1000), height / Math.max(high[1] - low[1], 1650));
  const points = seen.map(([x, y, z]) => ({
    x: width / 2 + scale * (x - (low[0] + high[0]) / 2),
    // All stand on one ground.
    y: 0.95 * height + scale * (y - high[1]),
    z: scale * z,
  }));
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  draw.skeleton(pen, body, points, {
    colours: draw.colours(), width: Math.max(85 * scale, 3), dots: false, front: noseOf(body, joints, matrix),
  });
}
