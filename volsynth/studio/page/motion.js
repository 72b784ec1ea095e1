// The person in motion, in place of the pose: by a name, by a file, or the pose turned once around.

import { reminding } from "./api.js";
import { $, on } from "./elements.js";
import * as files from "./files.js";
import { Player } from "./player.js";
import { rounded, turned } from "./skeleton.js";
import { paintPerson } from "./view.js";

const TURNTABLE = "turntable";
const TURNTABLE_FRAMES = 48;
const TURNTABLE_FPS = 12;
const FILE = "file";
const BUILT_IN = "built-in:";
const FILE_FPS = 25; // where a file does not say

export class Motion {
  // about: what the server has told; left(): the pose is back.
  constructor(about, { server, messages, person, posing, editor, view, left }) {
    Object.assign(this, { server, messages, person, posing, editor, view, left });
    this.opened = null; // of a file: {poses, fps}
    this.key = null; // what the loaded frames are of
    this.player = new Player({
      fetchStrip: (motion, start) => this.fetch(motion, start),
      show: (bitmap, index, ready) => this.show(bitmap, index, ready),
      state: (playing) => { $("play").textContent = playing ? "Pause" : "Play"; },
      failed: (error) => messages.complain(error.message),
    });
    const named = about.motions.map(({ name }) => new Option(name.replaceAll("_", " "), BUILT_IN + name));
    $("motions").replaceChildren(new Option("turntable", TURNTABLE), ...named);
    $("clips").replaceChildren(...(about.clips ?? ["gif"]).map((kind) => this.clipButton(kind)));
    this.listen();
  }

  clipButton(kind) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `Save ${kind.toUpperCase()}`;
    button.addEventListener("click", () => this.messages.attempt("Making the clip …", () => this.saveClip(kind)));
    return button;
  }

  listen() {
    const { player } = this;
    const play = () => this.messages.attempt("", () => this.play());
    on("play", "click", () => {
      if (player.playing) player.pause();
      else play();
    });
    on("motions", "change", () => {
      if (this.shown) play();
    });
    on("loop", "change", () => { player.loop = $("loop").checked; });
    on("speed", "change", () => { player.speed = Number($("speed").value); });
    on("frame", "input", () => {
      player.pause();
      player.seek(Number($("frame").value));
    });
    on("take", "click", () => this.takeFrame());
    on("stop", "click", () => this.leave());
  }

  // Whether it is shown, and not the pose.
  get shown() {
    return this.editor.locked;
  }

  pause() {
    this.player.pause();
  }

  leave() {
    this.player.pause();
    $("player").hidden = true;
    this.editor.locked = false;
    this.editor.frame(null);
    this.left();
  }

  // Another person: what was made is of no use.
  forget() {
    this.key = null;
  }

  // The poses of a file, joints in mm.
  async open(name, poses, fps) {
    this.opened = { poses, fps: fps ?? FILE_FPS };
    $("motions").querySelector(`option[value='${FILE}']`)?.remove();
    $("motions").add(new Option(name, FILE));
    $("motions").value = FILE;
    await this.play();
  }

  get wanted() {
    const name = $("motions").value;
    const { joints, turn } = this.posing.pose;
    if (name === TURNTABLE) {
      const poses = Array.from({ length: TURNTABLE_FRAMES }, (_, i) =>
        rounded(turned(joints, turn + 360 * i / TURNTABLE_FRAMES)));
      return { poses, fps: TURNTABLE_FPS };
    }
    if (name === FILE) return { ...this.opened, turn };
    return { name: name.slice(BUILT_IN.length), turn };
  }

  async play() {
    const { player, editor, wanted } = this;
    const key = JSON.stringify([this.person.known.person, wanted]);
    if (key !== this.key) {
      const found = await this.ask(wanted);
      this.key = key;
      player.load({ ...found, wanted });
    }
    editor.locked = true;
    $("player").hidden = false;
    editor.frame(player.motion.joints_mm.flat());
    $("frame").max = player.motion.frames - 1;
    player.seek(player.index);
    player.play();
  }

  ask(wanted) {
    return this.person.ask((person) => this.server.motion({ person, ...wanted }));
  }

  // A part of a motion; a server that has forgotten it is asked for the same motion again.
  fetch(motion, part) {
    return reminding(
      () => this.server.image(`motion/${motion.motion}/${part}`),
      async () => { motion.motion = (await this.ask(motion.wanted)).motion; },
    );
  }

  show(bitmap, index, ready) {
    if (!this.shown) return;
    const { motion } = this.player;
    this.editor.set(motion.joints_mm[index], motion.wanted.turn ?? 0);
    if (bitmap) {
      this.view.set(bitmap, motion.joints_px?.[index] ?? null);
      $("picture").dataset.frame = index;
    }
    $("frame").value = index;
    $("frame-value").textContent = `${index + 1} / ${motion.frames}`;
    $("time").textContent = ready < motion.frames
      ? `${ready} of ${motion.frames} frames made`
      : `${motion.frames} frames · ${motion.fps} a second`;
  }

  takeFrame() {
    const { motion, index } = this.player;
    this.leave();
    this.posing.take(motion.joints_mm[index], motion.wanted.turn ?? 0);
  }

  async saveClip(kind) {
    files.save(await this.fetch(this.player.motion, `clip.${kind}`), `volsynth.${kind}`);
  }

  // The frame that is seen, as the model made it.
  saveFrame() {
    const { frames, index } = this.player;
    if (!frames[index]) return;
    const canvas = document.createElement("canvas");
    paintPerson(canvas, frames[index], true);
    canvas.toBlob((blob) => files.save(blob, `volsynth-${index}.png`));
  }
}
