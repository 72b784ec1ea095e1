"use strict";

// What each task asks. The server says which task it is, and nothing of who made the pictures.
const TASKS = {
  "realistic image": {
    title: "Which picture looks more like a real one?",
    text: "You see two pictures of a person. Choose the one that looks more realistic, whoever it shows and in whatever pose.",
    caption: "",
  },
  "same person": {
    title: "Which one shows the same person?",
    text: "Beside the two pictures there is a third one of a person. Choose the picture that better shows this person in these clothes. The pose is meant to differ.",
    caption: "this person",
  },
  "correct pose": {
    title: "Which one has the pose of the skeleton?",
    text: "Beside the two pictures a skeleton turns to the left and to the right, so that you see how far away each limb is. Seen from the front, it has the pose that the person should have. Choose the picture that meets it better.",
    caption: "",
  },
};

const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "tie", " ": "tie" };
const COLOURS = { right: "#d9560f", left: "#2468c4", middle: "#6a6e76" };
const TURN = 40 * Math.PI / 180; // to each side
const PERIOD = 6000; // ms, there and back

const $ = (id) => document.getElementById(id);

let state = null; // the question on the page
let open = false; // whether an answer is taken
let partShown = 0; // the part whose explanation was read

function show(id) {
  for (const name of ["card", "question"]) $(name).hidden = name !== id;
}

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

// The response, after as many attempts as it takes: the server knows what it has had before.
async function request(path, body) {
  const options = body === undefined ? {} : {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  for (let wait = 250; ; wait = Math.min(2 * wait, 4000)) {
    try {
      const response = await fetch(path, options);
      if (response.status < 500) {
        notice("");
        return { status: response.status, data: await response.json() };
      }
    } catch {
      // Not reached: below.
    }
    notice("The server does not answer. Your last answer is kept here; trying again …");
    await sleep(wait);
  }
}

// A picture that is ready to be shown, after as many attempts as it takes.
async function load(path) {
  for (let wait = 250; ; wait = Math.min(2 * wait, 4000)) {
    const image = new Image();
    image.alt = "";
    image.draggable = false;
    // Another address each time, or the browser gives the same failure again.
    image.src = wait === 250 ? path : `${path}?${Date.now()}`;
    try {
      await image.decode();
      return image;
    } catch {
      notice("The pictures cannot be loaded. Every answer is kept; trying again …");
      await sleep(wait);
    }
  }
}

function card(title, text, button, help, action) {
  open = false;
  $("card-title").textContent = title;
  $("card-text").textContent = text;
  $("card-help").hidden = !help;
  $("card-button").hidden = !button;
  $("card-button").textContent = button;
  $("card-button").onclick = action;
  show("card");
  if (button) $("card-button").focus({ preventScroll: true });
}

function progress() {
  $("header").hidden = false;
  $("where").textContent = state.finished
    ? "Finished"
    : `Part ${state.part} of ${state.parts} · ${state.number} / ${state.games}`;
  $("progress").max = state.total;
  $("progress").value = state.done;
}

async function proceed(found) {
  state = found;
  progress();
  if (state.finished) {
    stopTurning();
    card("Thank you!", "You have answered all questions, and every answer is kept. The next person may begin here.",
      "Begin as another person", false, begin);
  } else if (state.part !== partShown) {
    partShown = state.part;
    stopTurning();
    card(`Part ${state.part} of ${state.parts}: ${TASKS[state.task].title}`, TASKS[state.task].text,
      state.number > 1 ? "Go on" : "Start", state.part === 1, ask);
  } else {
    await ask();
  }
}

async function ask() {
  const task = TASKS[state.task];
  const places = ["left", "right"];
  if (state.task === "same person") places.push("source");
  const address = `picture/${state.question}/`;
  // The question before stays until everything is there: nobody answers to half of one.
  const images = await Promise.all(places.map((place) => load(address + place)));
  notice("");
  places.forEach((place, i) => $(`${place}-picture`).replaceChildren(images[i]));
  $("title").textContent = task.title;
  $("caption").textContent = task.caption;
  $("source-picture").hidden = places.length < 3;
  $("pose").hidden = !state.pose;
  $("reference").hidden = places.length < 3 && !state.pose;
  $("stage").classList.toggle("with-reference", !$("reference").hidden);
  for (const id of ["left", "right", "tie"]) $(id).classList.remove("chosen");
  $("question").classList.remove("waiting");
  $("question").dataset.question = state.question;
  show("question");
  if (document.activeElement) document.activeElement.blur();
  stopTurning();
  if (state.pose) {
    legend();
    turn(state.pose);
  }
  open = true;
}

async function choose(choice) {
  if (!open) return;
  open = false;
  $(choice).classList.add("chosen");
  $("question").classList.add("waiting");
  const { status, data } = await request("answer", { question: state.question, choice });
  if (status === 200) {
    await proceed(data);
  } else {
    // Answered in another window, or this browser has forgotten who it is.
    await resume();
  }
}

async function begin() {
  const { status, data } = await request("begin", {});
  if (status === 201) {
    partShown = 0;
    await proceed(data);
  } else {
    card("Sorry", data.error, "", false, null);
  }
}

async function resume() {
  const { status, data } = await request("question");
  if (status === 200 && data.begun) {
    await proceed(data);
  } else {
    card("Which picture is better?",
      "Programs have drawn people in given poses. You will see two of their pictures at a time and say which one does a task better; there are three tasks.",
      "Begin", false, begin);
  }
}

// --- the skeleton --------------------------------------------------------------------------------

let turning = 0;

function stopTurning() {
  cancelAnimationFrame(turning);
}

function legend() {
  const right = document.createElement("span");
  right.className = "right";
  right.textContent = "orange: the person’s right";
  const left = document.createElement("span");
  left.className = "left";
  left.textContent = "blue: left";
  $("caption").replaceChildren(right, ", ", left);
}

function turn(pose) {
  stopTurning();
  const canvas = $("pose");
  const since = performance.now();
  const known = pose.joints.filter((joint) => joint);
  // The reach from the axis it turns around, so that nothing leaves the picture.
  const wide = Math.max(...known.map(([x, , z]) => Math.hypot(x, z)));
  const high = Math.max(...known.map(([, y]) => Math.abs(y)));
  const reach = 1.12 * Math.max(wide, high, 1);

  function frame(now) {
    const side = Math.round(canvas.clientWidth * (window.devicePixelRatio || 1));
    if (side && canvas.width !== side) canvas.width = canvas.height = side;
    const angle = TURN * Math.sin(2 * Math.PI * (now - since) / PERIOD);
    draw(canvas, pose, angle, reach);
    turning = requestAnimationFrame(frame);
  }
  turning = requestAnimationFrame(frame);
}

// y points down and z away from the viewer, as in a picture; around the y axis it turns.
function draw(canvas, pose, angle, reach) {
  const pen = canvas.getContext("2d");
  const middle = canvas.width / 2;
  const scale = middle / reach;
  const cos = Math.cos(angle);
  const sin = Math.sin(angle);
  const points = pose.joints.map((joint) => joint && {
    x: middle + scale * (cos * joint[0] + sin * joint[2]),
    y: middle + scale * joint[1],
    z: cos * joint[2] - sin * joint[0],
  });
  const limbs = pose.limbs
    .filter(([a, b]) => points[a] && points[b])
    .map(([a, b, side]) => ({ a: points[a], b: points[b], side, z: points[a].z + points[b].z }))
    .sort((one, other) => other.z - one.z);
  const [top, head] = pose.head.map((i) => points[i]);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  const width = Math.max(canvas.width / 45, 3);
  for (const limb of limbs) {
    // A light rim keeps limbs apart where they cross, and leaves no gap where they meet.
    stroke(pen, limb, width * 1.5, "butt", "#fff");
    stroke(pen, limb, width, "round", COLOURS[limb.side]);
  }
  if (top && head) {
    pen.fillStyle = COLOURS.middle;
    pen.beginPath();
    pen.arc((top.x + head.x) / 2, (top.y + head.y) / 2, Math.max(scale * pose.radius, width), 0, 2 * Math.PI);
    pen.fill();
  }
}

function stroke(pen, { a, b }, width, cap, colour) {
  pen.lineWidth = width;
  pen.lineCap = cap;
  pen.strokeStyle = colour;
  pen.beginPath();
  pen.moveTo(a.x, a.y);
  pen.lineTo(b.x, b.y);
  pen.stroke();
}

// --- input ---------------------------------------------------------------------------------------

for (const id of ["left", "right", "tie"]) $(id).addEventListener("click", () => choose(id));

document.addEventListener("keydown", (event) => {
  if ($("question").hidden || event.ctrlKey || event.altKey || event.metaKey) return;
  const choice = KEYS[event.key];
  if (!choice) return;
  // The space bar would press a focused button as well, and arrows would scroll.
  event.preventDefault();
  // A key that is held down is one answer.
  if (!event.repeat) choose(choice);
});

resume();
