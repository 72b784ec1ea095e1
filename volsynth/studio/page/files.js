// Files that come in, and those that go out.

import { rounded } from "./skeleton.js";

const ORDER = "volsynth_15";

// The picture, its mask and the file of poses among files; undefined for what is not there.
export function sort(files) {
  const list = [...files];
  const poses = list.find(typeOfPoses);
  const pictures = list.filter((file) => !typeOfPoses(file));
  const named = pictures.find((file) => /mask/i.test(file.name));
  // Of two pictures without such a name, a mask is the smaller file.
  const bySize = pictures.slice().sort((a, b) => b.size - a.size);
  const mask = pictures.length > 1 ? named ?? bySize[1] : undefined;
  return { picture: pictures.find((file) => file !== mask), mask, poses };
}

// The type of a file of poses by its name, "" of other files.
export function typeOfPoses(file) {
  const name = file.name.toLowerCase();
  if (name.endsWith(".csv")) return "text/csv";
  return name.endsWith(".json") ? "application/json" : "";
}

// Saves a file of poses as volsynth reads it. pose: {joints_px, joints_mm, image, action}, what there is of it.
export function savePose(pose, name) {
  const told = { ...pose };
  for (const key of ["joints_px", "joints_mm"]) {
    if (told[key]) told[key] = told[key].map((joint) => joint && rounded([joint], 4)[0]);
    else delete told[key];
  }
  const text = JSON.stringify({ format: "volsynth-keypoints", version: 1, order: ORDER, poses: [told] }) + "\n";
  save(new Blob([text], { type: "application/json" }), name);
}

export function save(blob, name) {
  const link = document.createElement("a");
  const address = URL.createObjectURL(blob);
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
