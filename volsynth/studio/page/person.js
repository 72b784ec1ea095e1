// The person that is shown, whom a server may forget, and their picture as the model gets it.

import { FORGOTTEN } from "./api.js";
import { $ } from "./elements.js";
import { paintPerson } from "./view.js";

const ATTEMPTS = 3;

export class Person {
  constructor(server) {
    this.server = server;
    this.source = null; // where they are from: `Picture` or `Begun`
    this.recovering = null;
  }

  // What the server says of them, or undefined.
  get known() {
    return this.source?.person;
  }

  // Asks something with the name by which the server knows them.
  async ask(use) {
    for (let attempts = 1; ; attempts++) {
      try {
        return await use(this.known.person);
      } catch (error) {
        if (error.status !== FORGOTTEN || attempts === ATTEMPTS) throw error;
        // Several may ask at once.
        this.recovering ??= this.source.recover().finally(() => { this.recovering = null; });
        await this.recovering;
      }
    }
  }

  async load() {
    const { source } = this;
    const bitmap = await createImageBitmap(await this.ask((person) => this.server.image(`person/${person}`)));
    if (this.source !== source) return;
    source.bitmap = bitmap;
    this.paint();
  }

  paint() {
    if (this.source?.bitmap) paintPerson($("source"), this.source.bitmap, $("raw").checked);
  }
}
