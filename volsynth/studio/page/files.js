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

// A file of poses as volsynth reads it, with one pose.
export function poseFile(joints, action) {
  const pose = { action, joints_mm: rounded(joints, 4) };
  return JSON.stringify({ format: "volsynth-keypoints", version: 1, order: ORDER, poses: [pose] }) + "\n";
}

export function save(blob, name) {
  const link = document.createElement("a");
  const address = URL.createObjectURL(blob);
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
