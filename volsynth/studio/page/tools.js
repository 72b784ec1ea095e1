// What can be done to the pose beside dragging its joints, and from where it is looked at.

import { VIEWS } from "./editor.js";
import { $, on } from "./elements.js";
import * as skeleton from "./skeleton.js";

export class Tools {
  // own(): joints of the person in their picture; leave(): a motion gives way to the pose.
  constructor(body, { posing, editor, steps, own, leave }) {
    Object.assign(this, { posing, editor, steps });
    const changes = {
      mirror: (joints) => skeleton.mirrored(body, joints),
      "right-to-left": (joints) => skeleton.copied(body, joints, "right"),
      "left-to-right": (joints) => skeleton.copied(body, joints, "left"),
    };
    for (const [id, make] of Object.entries(changes)) {
      on(id, "click", () => {
        leave();
        posing.change({ joints: make(posing.pose.joints) });
      });
    }
    on("reset", "click", () => {
      leave();
      posing.take(own(), 0);
    });
    on("turn", "input", () => {
      if (editor.locked) leave();
      posing.change({ turn: Number($("turn").value) }, "drag");
    });
    on("turn", "change", () => posing.change({}));
    on("feet", "change", () => { editor.feet = $("feet").checked; });
    on("undo", "click", () => this.undo());
    on("redo", "click", () => this.redo());
    document.addEventListener("keydown", (event) => this.key(event));
    for (const name of Object.keys(VIEWS)) on(`view-${name}`, "click", () => editor.look(name));
  }

  undo() {
    if (!this.editor.locked) this.posing.undo();
  }

  redo() {
    if (!this.editor.locked) this.posing.redo();
  }

  key(event) {
    if (!this.steps.at("studio") || !(event.ctrlKey || event.metaKey) || event.altKey) return;
    const key = event.key.toLowerCase();
    if (key !== "z" && key !== "y") return;
    event.preventDefault();
    if (key === "y" || event.shiftKey) this.redo();
    else this.undo();
  }

  paint() {
    const { pose, history } = this.posing;
    $("turn").value = pose.turn;
    $("turn-value").textContent = `${pose.turn}°`;
    $("undo").disabled = !history.past.length;
    $("redo").disabled = !history.future.length;
  }
}

// Says from where the editor looks: the name of a view, or "".
export function sayView(name) {
  for (const each of Object.keys(VIEWS)) {
    $(`view-${each}`).setAttribute("aria-pressed", String(each === name));
  }
  $("view").textContent = name === "camera"
    ? "As the camera sees it"
    : "For looking only: the picture stays the camera’s";
}
