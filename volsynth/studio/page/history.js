// What can be had back: states that came before the one there is, and those that were undone.

const MOST = 200;
const ONE_STEP = 1000; // ms between key strokes that are undone together

export class History {
  constructor() {
    this.past = [];
    this.future = [];
    this.before = null; // what there was when a drag began, while it goes on
    this.lastKey = { node: null, time: 0 };
  }

  // The state there is gives way to another one; how: "drag" while it goes on, "key" on a node, or "end".
  leave(state, how, node) {
    if (how === "drag") {
      this.before ??= state;
      return;
    }
    const now = performance.now();
    const { past, lastKey } = this;
    const sameKey = how === "key" && lastKey.node === node && now - lastKey.time < ONE_STEP && past.length;
    this.lastKey = { node: how === "key" ? node : null, time: now };
    if (!sameKey) past.push(this.before ?? state);
    if (past.length > MOST) past.shift();
    this.before = null;
    this.future.length = 0;
  }

  // The state before the one there is, or null.
  undo(state) {
    return this.step(this.past, this.future, state);
  }

  redo(state) {
    return this.step(this.future, this.past, state);
  }

  step(from, to, state) {
    if (!from.length) return null;
    to.push(state);
    this.lastKey.node = null;
    return from.pop();
  }
}
