// The joints over the picture of a person, to drag in two dimensions.

import * as draw from "./draw.js";
import { put } from "./gestures.js";
import { Stage } from "./stage.js";

const MOST_ZOOM = 12;
const MARGIN = 0.3; // around the person, as a share of its extent

export class Marker extends Stage {
  // change(): a joint was moved; select(joint or null).
  constructor(element, body, { change, select }) {
    super(element, body, body.names.slice(0, -1));
    this.change = change;
    this.chosen = select;
    this.image = null;
    this.points = null; // [x, y] in pixels of the picture
    this.hidden = [];
    this.grip = [0, 0]; // from the pointer to the joint that it drags
  }

  // image: bitmap of the picture, perhaps smaller; width, height: of the picture itself.
  set(image, width, height, points, hidden) {
    Object.assign(this, { image, width, height, points, hidden, selected: null });
    this.chosen(null);
    this.show();
  }

  // The person, or the whole picture, in the middle.
  show(whole = false) {
    if (!this.image || !this.canvas.clientWidth) return;
    const across = this.canvas.clientWidth;
    const high = this.canvas.clientHeight;
    const all = Math.min(across / this.width, high / this.height);
    let box = [0, 0, this.width, this.height];
    if (!whole) {
      const [x, y] = [0, 1].map((axis) => this.points.map((point) => point[axis]));
      const [left, right, top, bottom] = [Math.min(...x), Math.max(...x), Math.min(...y), Math.max(...y)];
      const margin = MARGIN * Math.max(right - left, bottom - top);
      box = [Math.max(left - margin, 0), Math.max(top - margin, 0),
        Math.min(right + margin, this.width), Math.min(bottom + margin, this.height)];
    }
    const wanted = Math.min(across / (box[2] - box[0]), high / (box[3] - box[1]));
    this.scale = Math.min(wanted, MOST_ZOOM * all);
    this.corner = [across / 2 - this.scale * (box[0] + box[2]) / 2, high / 2 - this.scale * (box[1] + box[3]) / 2];
    this.paint();
  }

  seen([x, y]) {
    return { x: this.corner[0] + this.scale * x, y: this.corner[1] + this.scale * y, z: 0 };
  }

  hit(x, y, near) {
    if (!this.points) return null;
    const apart = this.points.map((point) => {
      const { x: left, y: top } = this.seen(point);
      return Math.hypot(left - x, top - y);
    });
    const least = Math.min(...apart);
    return least <= near ? apart.indexOf(least) : null;
  }

  take(joint, x, y) {
    const point = this.seen(this.points[joint]);
    this.grip = [point.x - x, point.y - y];
    this.select(joint);
  }

  drag(joint, x, y) {
    const [left, top] = this.corner;
    this.move(joint, (x + this.grip[0] - left) / this.scale, (y + this.grip[1] - top) / this.scale);
  }

  drop() {}

  step(joint, x, y) {
    this.move(joint, this.points[joint][0] + x / this.scale, this.points[joint][1] + y / this.scale);
  }

  move(joint, x, y) {
    // Joints that the picture does not show are marked so, and not put outside of it.
    const inside = [Math.min(Math.max(x, 0), this.width), Math.min(Math.max(y, 0), this.height)];
    this.change(joint, [inside[0] - this.points[joint][0], inside[1] - this.points[joint][1]]);
    this.points[joint] = inside;
    this.hidden[joint] = false;
    this.chosen(this.selected);
    this.paint();
  }

  select(joint) {
    this.selected = joint;
    this.chosen(joint);
    this.paint();
  }

  // What was selected stays so for the button that hides it.
  released() {}

  toggle() {
    if (this.selected === null) return;
    this.hidden[this.selected] = !this.hidden[this.selected];
    this.chosen(this.selected);
    this.paint();
  }

  beneath(dx, dy) {
    this.pan(dx, dy);
  }

  pan(dx, dy) {
    this.corner = [this.corner[0] + dx, this.corner[1] + dy];
    this.paint();
  }

  zoomAt(factor, x, y) {
    const all = Math.min(this.canvas.clientWidth / this.width, this.canvas.clientHeight / this.height);
    const scale = Math.min(Math.max(this.scale * factor, 0.7 * all), MOST_ZOOM * all);
    const share = scale / this.scale;
    this.corner = [x + share * (this.corner[0] - x), y + share * (this.corner[1] - y)];
    this.scale = scale;
    this.paint();
  }

  resized() {
    this.show();
  }

  paint() {
    if (!this.image || !this.canvas.clientWidth) return;
    const { pen, width } = this.clear();
    const colours = draw.colours();
    pen.imageSmoothingQuality = "high";
    pen.drawImage(this.image, ...this.corner, this.scale * this.width, this.scale * this.height);
    const points = this.points.map((point) => this.seen(point));
    const y = points.map((point) => point.y);
    const limb = Math.min(Math.max(0.016 * (Math.max(...y) - Math.min(...y)), 5), 9);
    draw.skeleton(pen, this.body, points, { colours, width: limb, hidden: this.hidden });
    const named = this.hovered ?? this.selected;
    if (this.selected !== null) draw.ring(pen, points[this.selected], limb + 7, colours.accent);
    if (named !== null) {
      const text = this.body.names[named].replace("_", " ") + (this.hidden[named] ? " (not visible)" : "");
      draw.label(pen, text, points[named], { colours, width });
    }
    this.buttons.forEach((button, i) => put(button, points[i]));
  }
}
