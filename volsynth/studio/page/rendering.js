// The picture that follows the pose.

import { $ } from "./elements.js";
import * as files from "./files.js";
import { rounded } from "./skeleton.js";

export class Rendering {
  // wanted(): the pose, {joints, turn}; free(): whether its picture is shown, and no motion.
  constructor({ server, messages, person, view, wanted, free }) {
    Object.assign(this, { server, messages, person, view, wanted, free });
    this.version = 0; // of the pose
    this.made = -1; // which of them is shown
    this.following = false;
    this.last = null; // {bitmap, joints, seconds, blob}
  }

  // There is another pose.
  follow() {
    this.version++;
    if (!this.following && this.person.known) this.run();
  }

  // One request at a time, and the next one with what is wanted by then.
  async run() {
    this.following = true;
    try {
      while (this.made !== this.version) {
        let sent = this.version;
        try {
          const found = await this.person.ask((person) => this.server.render(() => {
            sent = this.version;
            const { joints, turn } = this.wanted();
            return { person, joints_mm: rounded(joints), turn };
          }));
          await this.take(found);
        } catch (error) {
          this.messages.refused(error);
        }
        this.made = sent;
      }
    } finally {
      this.following = false;
    }
  }

  async take(found) {
    const bitmap = await createImageBitmap(found.blob);
    this.last?.bitmap.close();
    this.last = { ...found, bitmap };
    $("save-picture").disabled = false;
    if (this.free()) this.show();
  }

  show() {
    if (!this.last) return;
    const { bitmap, joints, seconds } = this.last;
    this.view.set(bitmap, joints);
    $("picture").dataset.version = this.made + 1;
    $("time").textContent = `${bitmap.width} × ${bitmap.height} pixels · ${seconds.toFixed(2)} s`;
    $("overlay").disabled = !joints;
  }

  save() {
    files.save(this.last.blob, "volsynth.png");
  }
}
