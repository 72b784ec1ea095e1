// A canvas with things on it that are dragged, and a button on each of them: what the editors of joints
// have in common.

import * as draw from "./draw.js";
import { gestures, handles } from "./gestures.js";

// Who extends it has hit, take, drag, drop, beneath, zoomAt and pan as `gestures` calls them, step(i, x, y)
// for arrow keys, select(i), released() when a button loses the focus, resized() and paint().
export class Stage {
  // names: of the things, in order.
  constructor(element, body, names) {
    this.canvas = element.querySelector("canvas");
    this.body = body;
    this.selected = this.hovered = null;
    this.buttons = handles(element.querySelector(".handles"), names, {
      focus: (i) => this.select(i),
      blur: () => this.released(),
      step: (i, x, y) => this.step(i, x, y),
    });
    gestures(element, {
      hit: (x, y, near) => this.hit(x, y, near),
      take: (i, x, y) => {
        this.take(i, x, y);
        this.buttons[i].focus({ preventScroll: true, focusVisible: false });
      },
      drag: (i, x, y) => this.drag(i, x, y),
      drop: (_, moved) => this.drop(moved),
      ground: (dx, dy) => this.beneath(dx, dy),
      zoom: (factor, x, y) => this.zoomAt(factor, x, y),
      pan: (dx, dy) => this.pan(dx, dy),
      hover: (i) => {
        if (i === this.hovered) return;
        this.hovered = i;
        this.paint();
      },
    });
    new ResizeObserver(() => this.resized()).observe(this.canvas);
  }

  // The canvas, empty and as fine as the screen: {pen, width, height}, pixels of CSS.
  clear() {
    const { width, height } = draw.fit(this.canvas);
    const pen = this.canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    return { pen, width, height };
  }
}
