// The poses there are to choose from, as small pictures.

import { thumbnail } from "./editor.js";
import { $ } from "./elements.js";
import { centred } from "./skeleton.js";

export class Library {
  // poses: {name, joints(): mm, or undefined as long as there are none}; choose(joints).
  constructor(body, poses, choose) {
    this.drawn = []; // functions that paint the pictures
    $("poses").replaceChildren(...poses.map(({ name, joints }) => {
      const { item, button, canvas } = makeItem(name);
      button.addEventListener("click", () => choose(joints()));
      this.drawn.push(() => {
        if (joints() && canvas.clientWidth) thumbnail(canvas, body, centred(body, joints()));
      });
      return item;
    }));
    new ResizeObserver(() => this.paint()).observe($("poses"));
  }

  paint() {
    for (const paint of this.drawn) paint();
  }
}

function makeItem(name) {
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
  item.append(button);
  return { item, button, canvas };
}
