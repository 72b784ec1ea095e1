// What is done with files that come in.

import { Refused } from "./api.js";
import * as files from "./files.js";

export class Given {
  constructor({ server, messages, steps, choosing, correcting, person, posing, motion }) {
    Object.assign(this, { server, messages, steps, choosing, correcting, person, posing, motion });
  }

  take(list) {
    const { messages, choosing } = this;
    const given = files.sort(list);
    if (given.picture && choosing.wantsMask && !given.mask && !given.poses) return choosing.useMask(given.picture);
    if (given.picture) return messages.attempt("Reading the picture …", () => choosing.bring(given));
    if (given.poses) return messages.attempt("Reading the poses …", () => this.open(given.poses));
    return messages.complain("There was no file in that.");
  }

  // Poses are joints of the picture, the pose wanted, or a motion.
  async open(file) {
    const { poses, fps } = await this.server.poses(file);
    if (this.steps.at("joints") && this.choosing.draft?.joints && poses[0]?.joints_px) {
      await this.correcting.give(poses[0]);
      return;
    }
    if (!this.person.known) {
      throw new Refused(422, "Drop the picture first, or both together; then poses can be opened.");
    }
    const sound = poses.filter((each) => each.joints_mm?.every((joint) => joint)).map((each) => each.joints_mm);
    if (!sound.length) throw new Refused(422, `${file.name} has no whole pose in mm: joints_mm of all 15 joints.`);
    this.steps.show("studio");
    if (sound.length === 1) {
      this.motion.leave();
      this.posing.take(sound[0]);
    } else {
      await this.motion.open(file.name, sound, fps);
    }
  }
}
