// The last pose, for the next visit.

import { PELVIS, rounded } from "./skeleton.js";

const KEPT = "volsynth-studio-pose";

export function keep({ joints, turn }) {
  try {
    localStorage.setItem(KEPT, JSON.stringify({ joints: rounded(joints), turn }));
  } catch {
    // No room, or not allowed: it is here as long as the page is.
  }
}

// Its joints, or null.
export function kept() {
  try {
    const { joints } = JSON.parse(localStorage.getItem(KEPT));
    const sound = joints.length === PELVIS
      && joints.every((joint) => joint.length === 3 && joint.every(Number.isFinite));
    return sound ? joints : null;
  } catch {
    return null;
  }
}
