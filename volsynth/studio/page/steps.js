// The steps of the page, of which one is shown.

import { $, on } from "./elements.js";

const STEPS = ["start", "joints", "studio"];

export class Steps {
  // can: {joints(), studio()}: whether one may go there. go: {start(), joints(), studio()}: goes there, as
  // asked by a click. shown(step): that is what is shown now.
  constructor({ can, go, shown }) {
    Object.assign(this, { can, shown });
    for (const name of STEPS) on(`to-${name}`, "click", () => go[name]());
  }

  show(step) {
    for (const name of STEPS) {
      $(name).hidden = name !== step;
      if (name === step) $(`to-${name}`).setAttribute("aria-current", "step");
      else $(`to-${name}`).removeAttribute("aria-current");
    }
    for (const [name, may] of Object.entries(this.can)) $(`to-${name}`).disabled = !may();
    this.shown(step);
    window.scrollTo(0, 0);
  }

  at(step) {
    return !$(step).hidden;
  }
}
