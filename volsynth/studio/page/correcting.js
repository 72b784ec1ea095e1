// The second step: the joints of the picture, to be dragged to where they are.

import { $, on } from "./elements.js";
import { savePose } from "./files.js";
import { Joints } from "./joints.js";
import { Marker } from "./marker.js";

// By what says where the joints are.
const SAID = {
  file: "This is what the file says. Drag a joint to correct it.",
  estimator: "This is what the estimator says. Drag a joint to correct it.",
  networks: "This is what was found in the picture. Drag a joint to correct it; dashed ones are left out.",
  guess: "Drag each joint to where it is. Depth is that of the guess; a joint that the picture does not "
    + "show can be left out.",
};

export class Correcting {
  // current(): the picture, or null. enter(picture): the person on it was cut out.
  constructor(body, { messages, steps, current, enter }) {
    Object.assign(this, { messages, steps, current, enter });
    this.marker = new Marker($("joints-stage"), body, {
      change: (joint, shift) => this.draft.joints.moved(joint, shift),
      select: (joint) => {
        $("hide").disabled = joint === null;
        $("hide").setAttribute("aria-pressed", String(joint !== null && this.draft.joints.hidden[joint]));
      },
    });
    on("hide", "click", () => this.marker.toggle());
    on("whole", "click", () => this.marker.show(true));
    on("over", "click", () => {
      this.set(this.draft.answer.pose);
      this.messages.attempt("", () => this.show());
    });
    on("exchange", "click", () => {
      this.draft.joints.exchange(body.mirror);
      this.messages.attempt("", () => this.show());
    });
    on("save-joints", "click", () => {
      const image = this.draft.blob.name || "picture.png";
      savePose({ image, ...this.draft.joints.known }, `${image.replace(/\.[^.]*$/, "")}.json`);
    });
    on("go", "click", () => this.messages.attempt("Cutting out the person …", () => this.use()));
  }

  get draft() {
    return this.current();
  }

  // A new picture: where somebody has said where the joints are, it needs no hands.
  async begin() {
    this.set(this.draft.given ?? this.draft.answer.pose);
    if (this.draft.given || this.draft.answer.pose.from !== "guess") {
      try {
        await this.use();
        return;
      } catch (error) {
        this.messages.refused(error);
      }
    }
    await this.show();
  }

  // The joints by a file.
  async give(pose) {
    this.draft.given = pose;
    this.set(pose);
    await this.show();
  }

  set(found) {
    this.draft.joints = new Joints(found, this.draft.answer.pose);
  }

  async show() {
    const mine = this.draft;
    $("joints-text").textContent = mine.given ? SAID.file : SAID[mine.answer.pose.from];
    if (!mine.image) {
      mine.image = await createImageBitmap(await mine.shown());
      if (mine !== this.draft) return;
    }
    this.steps.show("joints");
    this.marker.set(mine.image, mine.answer.width, mine.answer.height, mine.joints.points, mine.joints.hidden);
  }

  async use() {
    const mine = this.draft;
    mine.sent = mine.joints.told;
    const person = await mine.cut();
    if (mine !== this.draft) return;
    mine.person = person;
    await this.enter(mine);
  }
}
