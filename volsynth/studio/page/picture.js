// A picture of a person, kept here: a server that has forgotten it is sent it again.

import { FORGOTTEN, Refused, reminding } from "./api.js";

export class Picture {
  // answer: what the server says of the picture, with its mask if there is one.
  constructor(server, blob, mask, answer) {
    Object.assign(this, { server, blob, mask, answer });
    this.given = null; // its pose by a file
    this.joints = null; // where they are: `Joints`
    this.image = null; // bitmap of the picture, once it was shown
    this.sent = null; // the joints by which the person was cut out
    this.person = null; // what the server says of the person
  }

  static async bring(server, blob, mask) {
    return new Picture(server, blob, mask, await send(server, blob, mask));
  }

  // Asks something with the name by which the server knows the picture.
  ask(use) {
    return reminding(
      () => use(this.answer.picture),
      async () => { this.answer = await send(this.server, this.blob, this.mask); },
    );
  }

  // What the server says of the picture with another mask.
  masked(mask) {
    return this.ask((picture) => this.server.mask(picture, mask));
  }

  // The picture itself, perhaps smaller.
  shown() {
    return this.ask((picture) => this.server.image(`picture/${picture}`));
  }

  // What the server says of the person whose joints were sent.
  cut() {
    return this.ask((picture) => this.server.person(picture, this.sent));
  }

  // The person again, for a server that has forgotten them.
  async recover() {
    this.person = await this.cut();
  }
}

// The person that the server begins with, of whom there is no picture here.
export class Begun {
  constructor(server, person) {
    Object.assign(this, { server, person });
  }

  async recover() {
    const { person } = await this.server.about();
    if (!person) throw new Refused(FORGOTTEN, "The server no longer knows this person: drop the picture again.");
    this.person = person;
  }
}

async function send(server, blob, mask) {
  const answer = await server.picture(blob);
  return mask ? server.mask(answer.picture, mask) : answer;
}
