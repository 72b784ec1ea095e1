// Requests to the server. What it refuses is an error with its line; what it does not answer is asked
// again until it does.

import { typeOfPoses } from "./files.js";

export class Refused extends Error {
  constructor(status, line) {
    super(line);
    this.status = status;
  }
}

// Does something, and once more after `remind` where the server has forgotten what it is about.
export async function reminding(use, remind) {
  try {
    return await use();
  } catch (error) {
    if (error.status !== FORGOTTEN) throw error;
  }
  await remind();
  return use();
}

export const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export const FORGOTTEN = 410;

// Statuses of a server, or of one before it, that will answer later.
const LATER = [502, 503, 504];

export class Server {
  // `say` is told "" when the server answers, "busy" or "gone" while it does not.
  constructor(say) {
    this.say = say;
  }

  // What `read` makes of a response. `body` is called before each attempt, so that the last one sends
  // what is wanted then.
  async ask(path, read, body) {
    for (let wait = 250; ; wait = Math.min(2 * wait, 4000)) {
      let state = "gone";
      try {
        const response = await fetch(path, body ? { method: "POST", ...body() } : {});
        if (response.ok) {
          const found = await read(response);
          this.say("");
          return found;
        }
        if (!LATER.includes(response.status)) {
          this.say("");
          throw new Refused(response.status, await line(response));
        }
        state = "busy";
      } catch (error) {
        // Not reached, or gone in the middle of the answer.
        if (error instanceof Refused) throw error;
      }
      this.say(state);
      await sleep(wait);
    }
  }

  about() {
    return this.ask("about", json);
  }

  picture(blob) {
    return this.ask("picture", json, () => bytes(blob));
  }

  mask(picture, blob) {
    return this.ask(`picture/${picture}/mask`, json, () => bytes(blob));
  }

  person(picture, pose) {
    return this.ask("person", json, () => object({ picture, ...pose }));
  }

  poses(file) {
    return this.ask("poses", json, () => ({ headers: { "Content-Type": typeOfPoses(file) }, body: file }));
  }

  image(path) {
    return this.ask(path, (response) => response.blob());
  }

  // `wanted` is called before each attempt.
  render(wanted) {
    return this.ask("render", rendered, () => object(wanted()));
  }

  motion(wanted) {
    return this.ask("motion", json, () => object(wanted));
  }
}

const JSON_TYPE = { "Content-Type": "application/json" };
const json = (response) => response.json();
const object = (value) => ({ headers: JSON_TYPE, body: JSON.stringify(value) });

function bytes(blob) {
  const type = blob.type.startsWith("image/") ? blob.type : "application/octet-stream";
  return { headers: { "Content-Type": type }, body: blob };
}

async function rendered(response) {
  return {
    blob: await response.blob(),
    seconds: Number(response.headers.get("x-seconds")),
    joints: pixels(response.headers.get("x-joints")),
  };
}

function pixels(header) {
  return header ? JSON.parse(header) : null;
}

async function line(response) {
  try {
    return (await response.json()).error || `The server answers ${response.status}.`;
  } catch {
    return `The server answers ${response.status}.`;
  }
}
