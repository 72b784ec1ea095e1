// Files that come in, and those that go out.

const ORDER = "volsynth_15";

// The picture, its mask and the text of a file of poses among files; undefined for what is not there.
export function sort(files) {
  const list = [...files];
  const isPoses = (file) => file.type === "application/json" || file.name.toLowerCase().endsWith(".json");
  const poses = list.find(isPoses);
  const pictures = list.filter((file) => !isPoses(file));
  const named = pictures.find((file) => /mask/i.test(file.name));
  // Of two pictures without such a name, a mask is the smaller file.
  const bySize = pictures.slice().sort((a, b) => b.size - a.size);
  const mask = pictures.length > 1 ? named ?? bySize[1] : undefined;
  return { picture: pictures.find((file) => file !== mask), mask, poses };
}

// A file of poses as volsynth reads it, with one pose.
export function poseFile(joints, action) {
  const rounded = joints.map((joint) => joint.map((x) => Math.round(1e4 * x) / 1e4));
  const pose = { action, joints_mm: rounded };
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
