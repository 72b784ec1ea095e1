// The pose that is wanted, with the bones of the person who is to take it.

import { History } from "./history.js";
import * as skeleton from "./skeleton.js";

export class Posing {
  // about: what the server has told; changed(): there is another pose.
  constructor(body, about, changed) {
    this.body = body;
    this.average = skeleton.lengths(body, about.poses[0].joints_mm);
    this.changed = changed;
    this.pose = null; // {joints, turn}
    this.lengths = null; // of the person's bones, or null where a pose keeps its own
    this.history = new History();
  }

  // Another person takes the pose; the first one has their own.
  wear(person) {
    this.lengths = person.flat ? null : skeleton.symmetric(this.body, person.bones, this.average);
    if (this.pose) this.take(this.pose.joints);
    else this.set({ joints: this.fitted(person.joints_mm), turn: 0 });
  }

  // A pose of somebody else.
  take(joints, turn = this.pose.turn) {
    this.change({ joints: this.fitted(joints), turn });
  }

  // With the person's bones, around the origin.
  fitted(joints) {
    const around = skeleton.centred(this.body, joints);
    return this.lengths ? skeleton.withLengths(this.body, around, this.lengths) : around;
  }

  // What came before can be had back; how, node: see `History.leave`.
  change(part, how = "end", node = null) {
    this.history.leave(this.pose, how, node);
    this.set({ ...this.pose, ...part });
  }

  undo() {
    this.back(this.history.undo(this.pose));
  }

  redo() {
    this.back(this.history.redo(this.pose));
  }

  back(pose) {
    if (pose) this.set(pose);
  }

  set(pose) {
    this.pose = pose;
    this.changed();
  }
}
