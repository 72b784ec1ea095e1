// What the page says: how the server is, what goes on, and what went wrong.

import { Refused } from "./api.js";
import { $, on } from "./elements.js";

const STATES = {
  gone: "The server does not answer. Your picture and your pose are kept here; trying again …",
  busy: "The server is busy; trying again …",
};

export class Messages {
  constructor() {
    this.state = "";
    this.activity = "";
    this.slow = 0;
    on("message-close", "click", () => this.complain(""));
  }

  // The server is "" well, "busy" or "gone".
  hear(state) {
    clearTimeout(this.slow);
    const set = () => {
      this.state = state;
      this.tell();
    };
    // Who drags quickly need not know of every short wait.
    if (state === "busy") this.slow = setTimeout(set, 1500);
    else set();
  }

  tell() {
    $("notice").textContent = STATES[this.state] ?? this.activity;
    $("notice").hidden = !$("notice").textContent;
  }

  complain(text) {
    $("message-text").textContent = text;
    $("message").hidden = !text;
  }

  // Says what the server refuses; everything else that goes wrong goes on.
  refused(error) {
    if (!(error instanceof Refused)) throw error;
    this.complain(error.message);
  }

  // Does something that the user asked for; what the server refuses is said.
  async attempt(text, action) {
    this.complain("");
    this.activity = text;
    this.tell();
    try {
      await action();
    } catch (error) {
      this.refused(error);
    } finally {
      this.activity = "";
      this.tell();
    }
  }
}
