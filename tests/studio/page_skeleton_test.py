"""The arithmetic of the skeleton in the page, as a browser does it."""

import numpy as np
import pytest
from bodies import lengths

from volsynth.skeleton import HIPS, INDEX, JOINTS, MIRROR

DRAGS = """async ({ seed, count, small }) => {
  const skeleton = await import("/skeleton.js");
  const about = await (await fetch("/about")).json();
  const body = skeleton.makeBody(about);
  let state = seed;
  const random = () => {
    state = (1103515245 * state + 12345) % 2147483648;
    return state / 1073741824 - 1;
  };
  const found = [];
  for (let i = 0; i < count; i++) {
    const start = about.poses[i % about.poses.length].joints_mm;
    const node = i % 16;
    const view = skeleton.looking(180 * random(), 80 * random());
    const [right, down] = [0, 1].map((axis) => skeleton.times(random(), view[axis]));
    const along = skeleton.add(right, down);
    const from = skeleton.nodes(body, start)[node];
    const feet = random() > 0;
    const there = (mm) => skeleton.drag(body, start, node,
      skeleton.add(from, skeleton.times(mm, along)), view[2], feet);
    found.push({ node, feet, start, view,
      path: small ? [...Array(small).keys()].map((k) => there(2 * k)) : [there(900 * random())] });
  }
  return found;
}"""


@pytest.mark.slow
def test_bones_keep_their_lengths_whatever_is_dragged(browse, studio):
    found = browse(studio).page.evaluate(DRAGS, {"seed": 7, "count": 1600, "small": 0})
    starts = np.array([each["start"] for each in found])
    ends = np.array([each["path"][0] for each in found])
    assert np.abs(lengths(ends) / lengths(starts) - 1).max() < 1e-6
    # And something moved, of each node.
    moved = np.linalg.norm(ends - starts, axis=-1).max(axis=1)
    nodes = np.array([each["node"] for each in found])
    assert all(np.median(moved[nodes == node]) > 20 for node in range(16))


@pytest.mark.slow
def test_only_what_belongs_to_it_moves(browse, studio):
    found = browse(studio).page.evaluate(DRAGS, {"seed": 3, "count": 480, "small": 0})
    upper = {name for name in JOINTS if not name.endswith(("hip", "knee", "ankle"))}
    for each in found:
        shift = np.linalg.norm(np.subtract(each["path"][0], each["start"]), axis=-1)
        moved = {name for name, far in zip(JOINTS, shift) if far > 1e-6}
        name = (*JOINTS, "pelvis")[each["node"]]
        side, _, joint = name.rpartition("_")
        allowed = {
            "head_top": {"head_top"},
            "head": {"head", "head_top"},
            "neck": upper,
            "pelvis": set(JOINTS),
        }.get(name)
        if allowed is None:
            arm, leg = ("elbow", "wrist"), ("knee", "ankle")
            limb = arm if joint in (*arm, "shoulder") else leg
            sides = ("right", "left") if joint in ("shoulder", "hip") else (side,)
            roots = (joint,) if joint in ("shoulder", "hip") else ()
            allowed = {f"{one}_{part}" for one in sides for part in (*roots, *limb)}
        assert moved <= allowed, name
        if name == "pelvis" and not each["feet"]:
            assert np.ptp(shift) < 1e-6


@pytest.mark.slow
def test_small_drags_move_joints_a_little(browse, studio):
    # Where a bone leaves the plane of the view, its end goes deeper than the pointer goes far: a
    # step of 2 mm is up to 40 then. What jumps does so by hundreds.
    found = browse(studio).page.evaluate(DRAGS, {"seed": 11, "count": 320, "small": 80})
    steps = np.array([
        np.linalg.norm(np.diff(each["path"], axis=0), axis=-1).max(axis=0) for each in found
    ])  # fmt: skip
    assert np.quantile(steps, 0.995) < 60
    # An end of a limb is where the pointer is, as long as bones reach so far.
    wrists = [each for each in found if JOINTS[each["node"] % 15].endswith("wrist")]
    for each in wrists:
        first, second = np.array(each["path"])[:2, each["node"]]
        across = np.array(each["view"])[:2] @ (second - first)
        assert np.linalg.norm(across) < 2 * np.sqrt(2) + 1e-6


@pytest.mark.slow
def test_knees_bend_forwards(browse, studio):
    found = browse(studio).page.evaluate(DRAGS, {"seed": 5, "count": 1600, "small": 0})
    checked = 0
    for each in found:
        name = (*JOINTS, "pelvis")[each["node"]]
        if not name.endswith("_ankle"):
            continue
        side = name.removesuffix("_ankle")
        pose = np.array(each["path"][0])
        hip, knee, ankle = (pose[INDEX[f"{side}_{part}"]] for part in ("hip", "knee", "ankle"))
        up = pose[INDEX["neck"]] - pose[list(HIPS)].mean(axis=0)
        right = pose[INDEX["right_hip"]] - pose[INDEX["left_hip"]]
        # Around the axis from left to right, the shin turns backwards against the thigh.
        bend = np.cross(knee - hip, ankle - knee) @ (right - right @ up / (up @ up) * up)
        far = np.linalg.norm(np.subtract(pose, each["start"])[each["node"]])
        leg = ankle - hip
        aside = abs(leg @ right) / np.linalg.norm(leg) / np.linalg.norm(right)
        # A leg that is lifted to the side may bend in any plane.
        if far > 450 and aside < 0.3:
            checked += 1
            assert bend < 0.05 * np.linalg.norm(knee - hip) ** 2 * np.linalg.norm(right)
    assert checked > 10


@pytest.mark.slow
def test_mirroring_twice_is_nothing_and_sides_are_exchanged(browse, studio):
    mirror = """async () => {
      const skeleton = await import("/skeleton.js");
      const about = await (await fetch("/about")).json();
      const body = skeleton.makeBody(about);
      return about.poses.map(({ joints_mm: pose }) => {
        const turned = skeleton.turned(pose, 40);
        const once = skeleton.mirrored(body, turned);
        return { turned, once, twice: skeleton.mirrored(body, once),
          copied: skeleton.copied(body, turned, "right"), straight: pose,
          reflected: skeleton.mirrored(body, pose) };
      });
    }"""
    changed = 0
    for each in browse(studio).page.evaluate(mirror):
        found = {key: np.array(value) for key, value in each.items()}
        np.testing.assert_allclose(found["twice"], found["turned"], rtol=0, atol=1e-9)
        changed += np.abs(found["once"] - found["turned"]).max() > 100
        np.testing.assert_allclose(
            lengths(found["once"]), lengths(found["turned"][list(MIRROR)]), atol=1e-9
        )
        # Hips that lie along the camera's x axis tell a mirror across it.
        hips = found["straight"][list(HIPS)]
        if abs(hips[0, 2] - hips[1, 2]) < 1e-9:
            wanted = found["straight"][list(MIRROR)] * (-1, 1, 1)
            np.testing.assert_allclose(found["reflected"], wanted, atol=0.2)
        np.testing.assert_allclose(lengths(found["copied"]), lengths(found["turned"]), atol=1e-9)
        right = [INDEX[f"right_{part}"] for part in ("elbow", "wrist", "knee", "ankle")]
        np.testing.assert_array_equal(found["copied"][right], found["turned"][right])
        for three in (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")):
            a, b = (_bend(found["copied"], side, three) for side in ("right", "left"))
            assert abs(a - b) < 1e-6
    # Some of them are the same on both sides.
    assert changed >= 5


def _bend(pose, side, three):
    a, b, c = (pose[INDEX[f"{side}_{part}"]] for part in three)
    cosine = (b - a) @ (c - b) / np.linalg.norm(b - a) / np.linalg.norm(c - b)
    return np.arccos(np.clip(cosine, -1, 1))
