// The first step: a picture, and a mask where it does not tell the person from the background.

import { Refused } from "./api.js";
import { $, on } from "./elements.js";
import { Picture } from "./picture.js";

const NO_MASK = "Nobody was found in the picture. Give a mask of the same size, white where the person is; or "
  + "take another picture.";

export class Choosing {
  // arrived(): there is a draft, and its background is known.
  constructor({ server, messages, steps, arrived }) {
    Object.assign(this, { server, messages, steps, arrived });
    this.draft = null; // the picture that is not yet a person
    this.latest = 0; // of pictures that were dropped: the last one counts
    on("another", "click", () => {
      this.draft = null;
      this.hideMask();
      this.steps.show("start");
    });
  }

  get wantsMask() {
    return this.steps.at("start") && !$("mask-wanted").hidden;
  }

  async bring({ picture, mask, poses }) {
    const mine = ++this.latest;
    const draft = await Picture.bring(this.server, picture, mask);
    draft.given = poses ? await this.inPixels(poses) : null;
    if (mine !== this.latest) return;
    this.draft = draft;
    if (draft.answer.background === "unknown") this.askMask();
    else await this.go();
  }

  // The pose in pixels of a file.
  async inPixels(file) {
    const { poses } = await this.server.poses(file);
    const found = poses.find((each) => each.joints_px);
    if (!found) throw new Refused(422, `${file.name} has no pose in pixels: joints_px.`);
    return found;
  }

  askMask() {
    const preview = $("mask-preview");
    URL.revokeObjectURL(preview.src);
    preview.src = URL.createObjectURL(this.draft.blob);
    $("mask-why").textContent = this.draft.answer.explanation ?? NO_MASK;
    $("mask-wanted").hidden = false;
    $("choose").hidden = true;
    this.steps.show("start");
    $("choose-mask").focus();
  }

  hideMask() {
    $("mask-wanted").hidden = true;
    $("choose").hidden = false;
  }

  useMask(mask) {
    return this.messages.attempt("Reading the mask …", async () => {
      const { draft } = this;
      const answer = await draft.masked(mask);
      if (draft !== this.draft) return;
      Object.assign(draft, { mask, answer });
      await this.go();
    });
  }

  async go() {
    this.hideMask();
    await this.arrived();
  }
}
