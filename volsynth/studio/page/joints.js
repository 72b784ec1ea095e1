// Where the joints of a picture are: in pixels, and in mm where depth is known.

import { rounded } from "./skeleton.js";

export class Joints {
  // found: {joints_px, joints_mm}, with null for what is not known; that is as in `guess`. In a guess all joints have a
  // place, and `visible` says which are known.
  constructor(found, guess) {
    this.hidden = found.joints_px.map((joint, i) => joint === null || found.visible?.[i] === false);
    this.points = found.joints_px.map((joint, i) => (joint ?? guess.joints_px[i]).slice());
    this.mm = found.joints_mm?.map((joint, i) => (joint ?? guess.joints_mm[i]).slice()) ?? null;
    this.scale = this.mm ? millimetresPerPixel(this.mm, this.points) : 0;
  }

  // A joint was moved in the picture; depth stays.
  moved(joint, [dx, dy]) {
    if (!this.mm) return;
    const [x, y, z] = this.mm[joint];
    this.mm[joint] = [x + this.scale * dx, y + this.scale * dy, z];
  }

  exchange(mirror) {
    for (const key of ["points", "mm", "hidden"]) {
      if (this[key]) this[key] = this[key].map((_, i) => this[key][mirror[i]]);
    }
  }

  // As a file tells them: a joint is known, or it is not.
  get known() {
    const { joints_px: points, joints_mm: mm } = this.told;
    return { joints_px: points, joints_mm: mm?.map((joint, i) => points[i] && joint) };
  }

  // As they are sent.
  get told() {
    return {
      joints_px: rounded(this.points).map((point, i) => (this.hidden[i] ? null : point)),
      joints_mm: this.mm && rounded(this.mm),
    };
  }
}

function millimetresPerPixel(mm, points) {
  const mean = (list, axis) => list.reduce((sum, joint) => sum + joint[axis], 0) / list.length;
  let [across, both] = [0, 0];
  for (const axis of [0, 1]) {
    const [a, b] = [mean(mm, axis), mean(points, axis)];
    mm.forEach((joint, i) => {
      across += (joint[axis] - a) ** 2;
      both += (joint[axis] - a) * (points[i][axis] - b);
    });
  }
  return both > 0 ? across / both : 0;
}
