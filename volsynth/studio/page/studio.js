// The page: a picture, its joints, and the person in other poses. This file puts its parts together.
//
// What the user made is kept here, pictures in memory and the pose in localStorage: a server that comes
// back is sent what it no longer knows.

import { Server } from "./api.js";
import { Choosing } from "./choosing.js";
import { Correcting } from "./correcting.js";
import { holdThePage, listenForFiles } from "./dropping.js";
import { Editor } from "./editor.js";
import { $, on } from "./elements.js";
import * as files from "./files.js";
import { Given } from "./given.js";
import { keep, kept } from "./keeping.js";
import { Library } from "./library.js";
import { Messages } from "./messages.js";
import { Motion } from "./motion.js";
import { Person } from "./person.js";
import { Begun } from "./picture.js";
import { Posing } from "./posing.js";
import { Rendering } from "./rendering.js";
import * as skeleton from "./skeleton.js";
import { Steps } from "./steps.js";
import { Tools, sayView } from "./tools.js";
import { View } from "./view.js";

holdThePage();
const messages = new Messages();
const server = new Server((state) => messages.hear(state));
build(await server.about());

function build(about) {
  const body = skeleton.makeBody(about);
  const person = new Person(server);
  const own = () => person.known?.joints_mm;

  // The three steps.
  const steps = new Steps({
    can: { joints: () => Boolean(choosing.draft?.joints), studio: () => Boolean(person.known) },
    go: {
      start: () => steps.show("start"),
      joints: () => messages.attempt("", () => correcting.show()),
      studio: () => steps.show("studio"),
    },
    shown: (step) => (step === "studio" ? editor.paint() : motion.pause()),
  });
  const choosing = new Choosing({ server, messages, steps, arrived: () => correcting.begin() });
  const correcting = new Correcting(body, { messages, steps, current: () => choosing.draft, enter });

  // The pose, and what follows it.
  const posing = new Posing(body, about, () => {
    if (!motion.shown) editPose();
    tools.paint();
    keep(posing.pose);
    rendering.follow();
  });
  const editor = new Editor($("stage"), body, {
    change: (joints, how, node) => posing.change({ joints }, how, node),
    looked: sayView,
  });
  const editPose = () => editor.set(posing.pose.joints, posing.pose.turn);
  const view = new View($("picture"), $("picture-overlay"), body);
  const motion = new Motion(about, {
    server, messages, person, posing, editor, view,
    left: () => {
      editPose();
      rendering.show();
    },
  });
  const rendering = new Rendering({
    server, messages, person, view, wanted: () => posing.pose, free: () => !motion.shown,
  });
  const leave = () => motion.leave();
  const tools = new Tools(body, { posing, editor, steps, own, leave });
  const poses = [["in the picture", own], ...about.poses.map((pose) => [pose.name, () => pose.joints_mm])];
  const last = kept();
  if (last) poses.push(["last time", () => last]);
  const library = new Library(body, poses.map(([name, joints]) => ({ name, joints })), (joints) => {
    leave();
    posing.take(joints);
  });

  // Somebody is there, of a picture or of the server.
  async function enter(source) {
    person.source = source;
    motion.forget();
    posing.wear(person.known);
    leave();
    steps.show("studio");
    await person.load();
  }

  const given = new Given({ server, messages, steps, choosing, correcting, person, posing, motion });
  listenForFiles((list) => given.take(list));
  on("save-picture", "click", () => (motion.shown ? motion.saveFrame() : rendering.save()));
  on("save-pose", "click", () => {
    // The turn is a part of it.
    const joints = skeleton.turned(posing.pose.joints, posing.pose.turn);
    files.savePose({ action: "studio", joints_mm: joints }, "pose.json");
  });
  const showing = () => {
    view.show({ raw: $("raw").checked, skeleton: $("overlay").checked });
    person.paint();
  };
  on("overlay", "change", showing);
  on("raw", "change", showing);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const each of [editor, correcting.marker, view, library]) each.paint();
  });

  const { system, image_size: side } = about.model;
  const finder = about.estimator ? ", with an estimator of poses" : "";
  $("model").textContent = `${system}, ${side} × ${side} pixels${finder}`;
  steps.show("start");
  if (about.person) messages.attempt("", () => enter(new Begun(server, about.person)));
}
