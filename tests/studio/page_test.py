"""The studio's page in a real browser: by mouse, keys and touch, and with a server that dies."""

import base64
import contextlib
import json

import numpy as np
import own_pictures
import pytest
from dots_server import Server
from PIL import Image

from volsynth import keypoints, persons
from volsynth.data import cropping
from volsynth.ops import retargeting
from volsynth.skeleton import HIPS, INDEX, JOINTS, MIRROR

TIMEOUT = 30_000  # ms
PHONE = {"viewport": {"width": 375, "height": 720}, "has_touch": True, "is_mobile": True}
DESKTOP = {"viewport": {"width": 1280, "height": 800}}


@contextlib.contextmanager
def _serving(*options):
    started = Server(*options)
    started.start()
    yield started
    started.kill()


@pytest.fixture(scope="module")
def server():
    with _serving() as started:
        yield started


@pytest.fixture(scope="module")
def brought(tmp_path_factory):
    """The names of a picture of 120 x 160 pixels, its mask and its pose."""
    found, _ = own_pictures.bring(tmp_path_factory.mktemp("brought"), "mask")
    return found


class Visitor:
    """Somebody at a browser, and what their page asks."""

    def __init__(self, browser, address, **options):
        self.asked, self.troubles, self.most_at_once = [], [], 0
        self._open = self._unanswered = 0
        self._address = address
        self.context = browser.new_context(**{**DESKTOP, **options})
        self.page = self.context.new_page()
        self.page.set_default_timeout(TIMEOUT)
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", self._hear)
        self.page.on("request", self._ask)
        self.page.on("requestfinished", self._answered)
        self.page.on("requestfailed", self._answered)
        self.page.goto(address)
        self.page.wait_for_selector("main:not([hidden])")

    def _hear(self, message):
        # A server that was killed or has forgotten, and what it refuses, are heard of here, too.
        ordinary = any(text in message.text for text in ("ERR_", "status of 410", "status of 422"))
        if message.type in ("error", "warning") and not ordinary:
            self.troubles.append(message.text)

    def _ask(self, request):
        self._unanswered += 1
        if not request.url.startswith((self._address, "blob:")):
            self.troubles.append(request.url)
        body = None
        if request.url.endswith(("/person", "/render", "/motion")):
            body = json.loads(request.post_data)
        self.asked.append((request.url.removeprefix(self._address), body))
        if request.url.endswith("/render"):
            self._open += 1
            self.most_at_once = max(self.most_at_once, self._open)

    def _answered(self, request):
        self._unanswered -= 1
        self._open -= request.url.endswith("/render")

    def sent(self, path):
        """Bodies of all requests to a path."""
        return [body for asked, body in self.asked if asked == path]

    def pose(self):
        """The newest pose that was asked for, after its picture has arrived."""
        self.rest()
        return np.array(self.sent("render")[-1]["joints_mm"])

    def rest(self):
        """Waits until nothing more is asked for."""
        quiet = 0
        while quiet < 4:
            self.page.wait_for_timeout(50)
            quiet = 0 if self._unanswered else quiet + 1

    def drop(self, *files):
        """Drops files on the page, as from a desktop."""
        kinds = {".jpg": "image/jpeg", ".png": "image/png", ".json": "application/json"}
        given = [
            (file.name, kinds[file.suffix], base64.b64encode(file.read_bytes()).decode())
            for file in files
        ]
        self.page.evaluate(
            """files => {
              const transfer = new DataTransfer();
              for (const [name, type, text] of files) {
                const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
                transfer.items.add(new File([bytes], name, { type }));
              }
              for (const kind of ["dragenter", "dragover", "drop"]) {
                const event = new DragEvent(kind,
                  { dataTransfer: transfer, bubbles: true, cancelable: true });
                document.body.dispatchEvent(event);
              }
            }""",
            given,
        )

    def begin(self, brought):
        """Drops a picture with all that belongs to it, and waits for the person."""
        self.drop(brought["image"], brought["mask"], brought["pose"])
        self.arrive()
        return self

    def arrive(self):
        self.page.wait_for_selector("#studio:not([hidden])")
        self.page.wait_for_selector("#picture[data-version]")
        self.rest()

    def choose(self, name):
        self.page.click(f"[data-pose={name}]")

    def at(self, joint, stage="#stage"):
        """Where a joint lies on the screen."""
        box = self.page.locator(f"{stage} [data-joint={joint}]").bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def drag(self, joint, dx, dy, stage="#stage", steps=12):
        x, y = self.at(joint, stage)
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + dx, y + dy, steps=steps)
        self.page.mouse.up()

    def dots(self):
        """The pixels that the person covers in the picture, [32, 32]."""
        levels = self.page.evaluate(
            """() => {
              const canvas = document.querySelector("#picture");
              const pen = canvas.getContext("2d");
              return [...pen.getImageData(0, 0, canvas.width, canvas.height).data];
            }"""
        )
        side = own_pictures.SIDE
        return np.array(levels).reshape(side, side, 4)[..., 3] > 128

    def close(self):
        assert self.troubles == []
        self.context.close()


@pytest.fixture
def visit(browser):
    """A function that opens the page; in the end nothing must have gone wrong there, and nothing
    been asked for elsewhere."""
    visitors = []

    def make(server, **options):
        visitors.append(Visitor(browser, server.address, **options))
        return visitors[-1]

    yield make
    for visitor in visitors:
        visitor.close()


def lengths(joints):
    joints = np.asarray(joints, float)
    joints = np.concatenate([joints, joints[..., list(HIPS), :].mean(axis=-2, keepdims=True)], -2)
    return np.stack(
        [np.linalg.norm(joints[..., b, :] - joints[..., a, :], axis=-1)
         for a, b, _ in retargeting.BONES], axis=-1,
    )  # fmt: skip


def pixel_of(joints, name="left_wrist"):
    """Row and column of a joint in the square of a pose: as `persons.stage` puts it there."""
    body = retargeting.Body(np.asarray(joints, float), np.ones(15, bool), False)
    corner, extent = cropping.around(*retargeting.box([body], retargeting.size(body)))
    x, y = (joints[INDEX[name]][:2] - corner) * own_pictures.SIDE / extent
    return int(y), int(x)


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
def test_bones_keep_their_lengths_whatever_is_dragged(visit, server):
    found = visit(server).page.evaluate(DRAGS, {"seed": 7, "count": 1600, "small": 0})
    starts = np.array([each["start"] for each in found])
    ends = np.array([each["path"][0] for each in found])
    assert np.abs(lengths(ends) / lengths(starts) - 1).max() < 1e-6
    # And something moved, of each node.
    moved = np.linalg.norm(ends - starts, axis=-1).max(axis=1)
    nodes = np.array([each["node"] for each in found])
    assert all(np.median(moved[nodes == node]) > 20 for node in range(16))


@pytest.mark.slow
def test_only_what_belongs_to_it_moves(visit, server):
    found = visit(server).page.evaluate(DRAGS, {"seed": 3, "count": 480, "small": 0})
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
def test_small_drags_move_joints_a_little(visit, server):
    # Where a bone leaves the plane of the view, its end goes deeper than the pointer goes far: a
    # step of 2 mm is up to 40 then. What jumps does so by hundreds.
    found = visit(server).page.evaluate(DRAGS, {"seed": 11, "count": 320, "small": 80})
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
def test_knees_bend_forwards(visit, server):
    found = visit(server).page.evaluate(DRAGS, {"seed": 5, "count": 1600, "small": 0})
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
def test_mirroring_twice_is_nothing_and_sides_are_exchanged(visit, server):
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
    for each in visit(server).page.evaluate(mirror):
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


@pytest.mark.slow
def test_from_a_picture_to_a_person_in_another_pose(visit, server, brought):
    visitor = visit(server)
    page = visitor.page
    visitor.drop(brought["image"], brought["mask"])
    page.wait_for_selector("#joints:not([hidden])")
    before = {name: visitor.at(name, "#joints-stage") for name in JOINTS}
    # A joint is corrected, one is not visible.
    visitor.drag("right_wrist", -30, -20, "#joints-stage")
    assert np.allclose(
        np.subtract(visitor.at("right_wrist", "#joints-stage"), before["right_wrist"]), (-30, -20)
    )
    assert all(
        np.allclose(visitor.at(name, "#joints-stage"), place)
        for name, place in before.items()
        if name != "right_wrist"
    )
    page.focus("#joints-stage [data-joint=left_ankle]")
    page.click("#hide")
    assert page.get_attribute("#hide", "aria-pressed") == "true"
    page.click("#go")
    visitor.arrive()
    (given,) = visitor.sent("person")
    assert [joint is None for joint in given["joints_px"]] == [n == "left_ankle" for n in JOINTS]
    scale = np.linalg.norm(np.subtract(before["neck"], before["right_hip"])) / np.linalg.norm(
        np.subtract(given["joints_px"][INDEX["neck"]], given["joints_px"][INDEX["right_hip"]])
    )
    wrist = np.array(given["joints_px"][INDEX["right_wrist"]])
    neck = np.array(given["joints_px"][INDEX["neck"]])
    seen = np.subtract(before["right_wrist"], before["neck"]) + np.array([-30, -20])
    np.testing.assert_allclose(wrist - neck, seen / scale, atol=0.1)
    # Depth stays, and width and height in mm go along with the pixels.
    px, mm = np.array(given["joints_px"][:12]), np.array(given["joints_mm"][:12])
    fit = np.polyfit(px[:, 0], mm[:, 0], 1)
    np.testing.assert_allclose(np.polyval(fit, px[:, 0]), mm[:, 0], atol=25)

    visitor.choose("t_pose")
    start = visitor.pose()
    covered = visitor.dots()
    assert covered[pixel_of(start)]
    visitor.drag("left_wrist", -60, -90)
    end = visitor.pose()
    np.testing.assert_allclose(lengths(end), lengths(start), atol=0.05)
    moved = np.linalg.norm(end - start, axis=1) > 1
    assert {JOINTS[i] for i in np.flatnonzero(moved)} == {"left_elbow", "left_wrist"}
    assert visitor.dots()[pixel_of(end)]
    assert (visitor.dots() != covered).any()
    assert visitor.most_at_once == 1
    # The wrist is under the pointer: as far as the view's scale says.
    x, y = (end - start)[INDEX["left_wrist"]][:2]
    assert x / y == pytest.approx(60 / 90, rel=0.02)
    assert len(visitor.sent("render")) > 3
    assert page.is_hidden("#message")
    assert page.is_hidden("#notice")


@pytest.mark.slow
def test_a_picture_without_a_mask_is_asked_for_one(visit, server, brought, tmp_path):
    visitor = visit(server)
    page = visitor.page
    page.set_input_files("#files", brought["image"])
    page.wait_for_selector("#mask-wanted:not([hidden])")
    small = tmp_path / "small.png"
    Image.new("L", (7, 7), 255).save(small)
    visitor.drop(small)
    page.wait_for_selector("#message:not([hidden])")
    assert "must have one size" in page.inner_text("#message-text")
    page.set_input_files("#files", brought["mask"])
    page.wait_for_selector("#joints:not([hidden])")
    assert page.is_hidden("#message")
    # A pose needs somebody to take it.
    page.click("#to-start")
    visitor.drop(brought["pose"])
    page.wait_for_selector("#message:not([hidden])")
    assert "Drop the picture first" in page.inner_text("#message-text")


@pytest.mark.slow
def test_a_pose_of_a_file_or_an_estimator_needs_no_hands(visit, server, brought):
    visitor = visit(server).begin(brought)
    (given,) = visitor.sent("person")
    (pose,) = keypoints.read(brought["pose"])
    known = [i for i, seen in enumerate(pose.visible) if seen]
    found = np.array([given["joints_px"][i] for i in known], float)
    np.testing.assert_allclose(found, pose.joints_px[known], atol=0.1)
    # There is a way back.
    visitor.page.click("#to-joints")
    visitor.page.wait_for_selector("#joints:not([hidden])")
    with _serving("estimator") as estimating:
        other = visit(estimating)
        other.drop(brought["image"], brought["mask"])
        other.arrive()
        other.page.click("#to-joints")
        assert "estimator" in other.page.inner_text("#joints-text")


@pytest.mark.slow
def test_a_person_of_the_command_line_is_there_at_once_and_again(visit, brought):
    with _serving("person", str(brought["image"].parent)) as started:
        visitor = visit(started)
        visitor.arrive()
        assert visitor.sent("person") == []
        started.kill()
        started.start()
        visitor.choose("kicking")
        visitor.rest()
        assert len({body["person"] for body in visitor.sent("render")}) == 2
        assert visitor.dots()[pixel_of(visitor.pose())]


@pytest.mark.slow
def test_keys_move_joints_and_are_undone(visit, server, brought):
    visitor = visit(server).begin(brought)
    page = visitor.page
    visitor.choose("standing")
    start = visitor.pose()
    page.focus("#stage [data-joint=right_shoulder]")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    focused = "document.activeElement.dataset.joint"
    assert page.evaluate(focused) == "right_wrist"
    wrist = INDEX["right_wrist"]
    page.keyboard.press("ArrowUp")
    np.testing.assert_allclose((visitor.pose() - start)[wrist], (0, -10, 0), atol=0.03)
    page.keyboard.press("Shift+ArrowUp")
    once = visitor.pose()
    np.testing.assert_allclose((once - start)[wrist], (0, -60, 0), atol=0.03)
    np.testing.assert_allclose(lengths(once), lengths(start), atol=0.05)
    page.keyboard.press("Control+z")
    np.testing.assert_array_equal(visitor.pose(), start)
    page.keyboard.press("Control+Shift+Z")
    np.testing.assert_array_equal(visitor.pose(), once)
    page.click("#undo")
    page.click("#undo")
    assert page.is_disabled("#undo")
    page.click("#redo")
    np.testing.assert_array_equal(visitor.pose(), start)
    # From the side, the same key moves a joint in depth.
    page.click("#view-side")
    page.focus("#stage [data-joint=left_ankle]")
    page.keyboard.press("Shift+ArrowRight")
    moved = (visitor.pose() - start)[INDEX["left_ankle"]]
    np.testing.assert_allclose(moved, (0, 0, -50), atol=0.03)


@pytest.mark.slow
def test_sides_views_and_turns(visit, server, brought):
    visitor = visit(server).begin(brought)
    page = visitor.page
    visitor.choose("waving")
    start = visitor.pose()
    page.click("#mirror")
    assert np.abs(visitor.pose() - start).max() > 50
    page.click("#mirror")
    np.testing.assert_allclose(visitor.pose(), start, atol=0.011)
    page.click("#right-to-left")
    both = visitor.pose()
    assert both[INDEX["left_wrist"], 1] < both[INDEX["left_shoulder"], 1]
    page.click("#undo")
    np.testing.assert_allclose(visitor.pose(), start, atol=0.011)
    # Looking from elsewhere asks for nothing.
    count = len(visitor.asked)
    box = page.locator("#stage").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 80)
    page.mouse.down()
    page.mouse.move(box["x"] + 120, box["y"] + 100, steps=4)
    page.mouse.up()
    page.mouse.wheel(0, -200)
    visitor.rest()
    assert len(visitor.asked) == count
    assert page.get_attribute("#view-camera", "aria-pressed") == "false"
    page.click("#view-camera")
    page.evaluate(
        "() => { const turn = document.querySelector('#turn'); turn.value = 90;"
        " turn.dispatchEvent(new Event('input')); turn.dispatchEvent(new Event('change')); }"
    )
    visitor.rest()
    assert visitor.sent("render")[-1]["turn"] == 90
    np.testing.assert_allclose(visitor.pose(), start, atol=0.011)
    turned = retargeting.turned(retargeting.Body(start, np.ones(15, bool), False), 90).joints
    assert visitor.dots()[pixel_of(turned, "right_ankle")]
    page.click("#undo")
    visitor.rest()
    assert visitor.sent("render")[-1]["turn"] == 0
    page.click("#reset")
    own = visitor.pose()
    assert np.abs(own - start).max() > 50
    np.testing.assert_allclose(lengths(own), lengths(start), atol=0.1)


@pytest.mark.slow
def test_a_pose_is_saved_and_opened(visit, server, brought, tmp_path):
    visitor = visit(server).begin(brought)
    page = visitor.page
    visitor.choose("lunging")
    wanted = visitor.pose()
    with page.expect_download() as download:
        page.click("#save-pose")
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    (pose,) = keypoints.read(file)
    assert pose.visible.all()
    np.testing.assert_allclose(pose.joints_mm, wanted, atol=0.006)
    page.click("#reset")
    assert np.abs(visitor.pose() - wanted).max() > 50
    visitor.drop(file)
    visitor.page.wait_for_timeout(300)
    np.testing.assert_allclose(visitor.pose(), wanted, atol=0.2)
    with page.expect_download() as download:
        page.click("#save-picture")
    with Image.open(download.value.path()) as opened:
        picture = np.asarray(opened.convert("RGB"))
    assert picture.shape == (own_pictures.SIDE, own_pictures.SIDE, 3)
    assert tuple(picture[0, 0]) == (255, 0, 255)
    # The page remembers the last pose, a new visit shows it among the others.
    page.reload()
    page.wait_for_selector("main:not([hidden])")
    visitor.begin(brought)
    visitor.choose("'last time'")
    np.testing.assert_allclose(visitor.pose(), wanted, atol=0.2)


@pytest.mark.slow
def test_a_motion_plays_and_a_second_time_from_memory(visit, server, brought, tmp_path):
    visitor = visit(server).begin(brought)
    page = visitor.page
    page.select_option("#motions", "turntable")
    page.uncheck("#loop")
    page.select_option("#speed", "2")
    page.click("#play")
    going, ended = (
        f"() => document.querySelector('#play').textContent === '{text}'"
        for text in ("Pause", "Play")
    )
    page.wait_for_function(going)
    page.wait_for_function(ended)
    assert page.inner_text("#frame-value") == "48 / 48"
    (motion,) = visitor.sent("motion")
    assert len(motion["poses"]) == 48
    widths = [np.ptp(np.array(pose)[:, 0]) for pose in motion["poses"]]
    assert min(widths) < 0.8 * max(widths)
    strips = sum(path.startswith("motion/") for path, _ in visitor.asked)
    assert strips == 48 // 8
    count = len(visitor.asked)
    page.click("#play")
    page.wait_for_function(going)
    page.wait_for_function(ended)
    assert len(visitor.asked) == count
    # Frames one by one: each is of its own pose.
    seen = []
    for frame in (0, 12, 30):
        page.evaluate(
            "n => { const frame = document.querySelector('#frame'); frame.value = n;"
            " frame.dispatchEvent(new Event('input')); }",
            frame,
        )
        assert page.get_attribute("#picture", "data-frame") == str(frame)
        seen.append(visitor.dots().tobytes())
    assert len(set(seen)) == 3
    page.click("#take")
    taken = visitor.pose()
    np.testing.assert_allclose(taken, motion["poses"][30], atol=0.2)
    assert page.is_hidden("#player")
    # A file with several poses is a motion, too.
    poses = keypoints.read(persons.LIBRARY)[:3]
    file = tmp_path / "three.json"
    keypoints.write(file, poses)
    visitor.drop(file)
    page.wait_for_function("() => document.querySelector('#frame-value').textContent === '3 / 3'")
    with page.expect_download() as download:
        page.click("#clips button >> nth=0")
    assert download.value.suggested_filename == "volsynth.gif"
    with Image.open(download.value.path()) as opened:
        assert opened.n_frames == 3
    page.click("#stop")
    np.testing.assert_array_equal(visitor.pose(), taken)


@pytest.mark.slow
def test_a_server_that_dies_takes_nothing_along(visit, brought):
    with _serving() as started:
        visitor = visit(started).begin(brought)
        page = visitor.page
        visitor.choose("standing")
        start = visitor.pose()
        started.kill()
        visitor.drag("right_wrist", -40, -40)
        page.wait_for_selector("#notice:not([hidden])")
        assert "does not answer" in page.inner_text("#notice")
        # The page goes on without it.
        visitor.drag("left_wrist", 40, -40)
        started.start()
        page.wait_for_selector("#notice", state="hidden")
        end = visitor.pose()
        moved = np.linalg.norm(end - start, axis=1) > 1
        assert {JOINTS[i] for i in np.flatnonzero(moved)} == {
            f"{side}_{part}" for side in ("left", "right") for part in ("elbow", "wrist")
        }
        assert visitor.dots()[pixel_of(end)]
        assert page.is_hidden("#message")
        # It was sent the picture again, and who is on it.
        assert len(visitor.sent("picture")) == 2
        assert len({body["picture"] for body in visitor.sent("person")}) == 2
        # A motion, too, is made again.
        page.click("#play")
        page.wait_for_function(
            "() => document.querySelector('#time').textContent.includes('a second')"
        )
        started.kill()
        started.start()
        with page.expect_download() as download:
            page.click("#clips button >> nth=0")
        assert download.value.suggested_filename == "volsynth.gif"


class Fingers:
    """Fingers on the screen of a visitor."""

    def __init__(self, visitor):
        self._session = visitor.context.new_cdp_session(visitor.page)

    def put(self, kind, *points):
        touches = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        self._session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    def drag(self, start, end, steps=8):
        self.put("touchStart", start)
        for step in range(1, steps + 1):
            share = step / steps
            self.put("touchMove", tuple(a + share * (b - a) for a, b in zip(start, end)))
        self.put("touchEnd")


def _fits(page):
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, select, .check, input[type=range]")]
          .filter((each) => each.checkVisibility() && !each.classList.contains("handle"))
          .map((each) => [each.id || each.textContent, each.getBoundingClientRect()])
          .filter(([, box]) => box.width < 40 || box.height < 40).map(([name]) => name)"""
    )
    assert small == []


@pytest.mark.slow
def test_by_touch_on_a_phone(visit, server, brought):
    visitor = visit(server, **PHONE)
    page = visitor.page
    _fits(page)
    visitor.drop(brought["image"], brought["mask"])
    page.wait_for_selector("#joints:not([hidden])")
    _fits(page)
    fingers = Fingers(visitor)
    x, y = visitor.at("head", "#joints-stage")
    fingers.drag((x + 8, y + 8), (x + 28, y - 2))
    assert np.allclose(visitor.at("head", "#joints-stage"), (x + 20, y - 10), atol=1)
    page.tap("#go")
    visitor.arrive()
    _fits(page)
    # What is dragged and what comes of it are in sight together.
    for id in ("stage", "picture-stage"):
        box = page.locator(f"#{id}").bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 720
    page.evaluate("document.querySelector('[data-pose=standing]').click()")
    start = visitor.pose()
    x, y = visitor.at("right_wrist")
    fingers.drag((x, y), (x - 20, y - 30))
    end = visitor.pose()
    moved = np.linalg.norm(end - start, axis=1) > 1
    assert {JOINTS[i] for i in np.flatnonzero(moved)} == {"right_elbow", "right_wrist"}
    np.testing.assert_allclose(lengths(end), lengths(start), atol=0.05)
    # Two fingers make it larger, and move nothing.
    count = len(visitor.asked)
    apart = [np.subtract(visitor.at("neck"), visitor.at("right_hip"))]
    fingers.put("touchStart", (100, 150), (200, 250))
    fingers.put("touchMove", (80, 130), (220, 270))
    fingers.put("touchMove", (60, 110), (240, 290))
    fingers.put("touchEnd")
    apart.append(np.subtract(visitor.at("neck"), visitor.at("right_hip")))
    assert np.linalg.norm(apart[1]) > 1.3 * np.linalg.norm(apart[0])
    visitor.rest()
    assert len(visitor.asked) == count


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1024, 640), (700, 900), (844, 390)])
def test_nothing_is_wider_than_the_window(visit, server, brought, width, height, scheme):
    visitor = visit(server, viewport={"width": width, "height": height}, color_scheme=scheme)
    _fits(visitor.page)
    visitor.begin(brought)
    _fits(visitor.page)
    light = visitor.page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]"
    )
    assert (light > 128) == (scheme == "light")
    unnamed = visitor.page.evaluate(
        """() => [...document.querySelectorAll("button, select, input")]
          .filter((each) => each.checkVisibility())
          .filter((each) => !each.ariaLabel && !each.textContent.trim() && !each.labels?.length)
          .map((each) => each.outerHTML)"""
    )
    assert unnamed == []
