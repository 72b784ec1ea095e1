"""The studio's page in a real browser: by mouse and keys, and with a server that dies."""

import numpy as np
import own_pictures
import pytest
from bodies import lengths, pixel_of
from dots_server import serving
from PIL import Image

from volsynth.generation.source import Source, read_person
from volsynth.poses import keypoint_files, pose_library, retargeting
from volsynth.skeleton import INDEX, JOINTS


@pytest.mark.slow
def test_from_a_picture_to_a_person_in_another_pose(browse, studio, files):
    visitor = browse(studio)
    page = visitor.page
    visitor.drop(files["image"], files["mask"])
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
def test_a_picture_without_a_mask_is_asked_for_one(browse, studio, files, tmp_path):
    visitor = browse(studio)
    page = visitor.page
    page.set_input_files("#files", files["image"])
    page.wait_for_selector("#mask-wanted:not([hidden])")
    small = tmp_path / "small.png"
    Image.new("L", (7, 7), 255).save(small)
    visitor.drop(small)
    page.wait_for_selector("#message:not([hidden])")
    assert "must have one size" in page.inner_text("#message-text")
    page.set_input_files("#files", files["mask"])
    page.wait_for_selector("#joints:not([hidden])")
    assert page.is_hidden("#message")
    # A pose needs somebody to take it.
    page.click("#to-start")
    visitor.drop(files["pose"])
    page.wait_for_selector("#message:not([hidden])")
    assert "Drop the picture first" in page.inner_text("#message-text")


@pytest.mark.slow
def test_a_pose_of_a_file_or_an_estimator_needs_no_hands(browse, studio, files):
    visitor = browse(studio).begin(files)
    (given,) = visitor.sent("person")
    (pose,) = keypoint_files.read(files["pose"])
    known = [i for i, seen in enumerate(pose.visible) if seen]
    found = np.array([given["joints_px"][i] for i in known], float)
    np.testing.assert_allclose(found, pose.joints_px[known], atol=0.1)
    # There is a way back.
    visitor.page.click("#to-joints")
    visitor.page.wait_for_selector("#joints:not([hidden])")
    with serving("estimator") as estimating:
        other = browse(estimating)
        other.drop(files["image"], files["mask"])
        other.arrive()
        other.page.click("#to-joints")
        assert "estimator" in other.page.inner_text("#joints-text")


@pytest.mark.slow
def test_a_photograph_needs_no_hands(browse, files):
    with serving("photograph", str(files["image"].parent)) as finding:
        visitor = browse(finding)
        visitor.drop(files["image"])
        visitor.arrive()
        (given,) = visitor.sent("person")
        (pose,) = keypoint_files.read(files["pose"])
        assert [i for i, px in enumerate(given["joints_px"]) if px is None] == [4]
        found = np.array([px for px in given["joints_px"] if px], float)
        np.testing.assert_allclose(found, np.delete(pose.joints_px, 4, axis=0), atol=0.1)
        visitor.page.click("#to-joints")
        assert "found in the picture" in visitor.page.inner_text("#joints-text")


@pytest.mark.slow
def test_a_person_of_the_command_line_is_there_at_once_and_again(browse, files):
    with serving("person", str(files["image"].parent)) as started:
        visitor = browse(started)
        visitor.arrive()
        assert visitor.sent("person") == []
        started.kill()
        started.start()
        visitor.choose("kicking")
        visitor.rest()
        assert len({body["person"] for body in visitor.sent("render")}) == 2
        assert visitor.dots()[pixel_of(visitor.pose())]


@pytest.mark.slow
def test_keys_move_joints_and_are_undone(browse, studio, files):
    visitor = browse(studio).begin(files)
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
def test_sides_views_and_turns(browse, studio, files):
    visitor = browse(studio).begin(files)
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
    turned = retargeting.turn_body(retargeting.Body(start, np.ones(15, bool), False), 90).joints
    assert visitor.dots()[pixel_of(turned, "right_ankle")]
    page.click("#undo")
    visitor.rest()
    assert visitor.sent("render")[-1]["turn"] == 0
    page.click("#reset")
    own = visitor.pose()
    assert np.abs(own - start).max() > 50
    np.testing.assert_allclose(lengths(own), lengths(start), atol=0.1)


@pytest.mark.slow
def test_a_pose_is_saved_and_opened(browse, studio, files, tmp_path):
    visitor = browse(studio).begin(files)
    page = visitor.page
    visitor.choose("lunging")
    wanted = visitor.pose()
    with page.expect_download() as download:
        page.click("#save-pose")
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    (pose,) = keypoint_files.read(file)
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
    visitor.begin(files)
    visitor.choose("'last time'")
    np.testing.assert_allclose(visitor.pose(), wanted, atol=0.2)


@pytest.mark.slow
def test_joints_that_were_placed_are_saved_for_the_command_line(browse, studio, files, tmp_path):
    visitor = browse(studio)
    page = visitor.page
    visitor.drop(files["image"], files["mask"])
    page.wait_for_selector("#joints:not([hidden])")
    handle = page.locator("#joints-stage .handle").nth(INDEX["left_wrist"])
    handle.focus()
    for _ in range(5):
        page.keyboard.press("Shift+ArrowRight")
    page.locator("#joints-stage .handle").nth(INDEX["head_top"]).focus()
    page.click("#hide")
    with page.expect_download() as download:
        page.click("#save-joints")
    assert download.value.suggested_filename == "picture.json"
    download.value.save_as(tmp_path / "picture.json")
    (pose,) = keypoint_files.read(tmp_path / "picture.json")
    assert pose.image == files["image"].name
    np.testing.assert_array_equal(pose.visible, np.arange(15) != INDEX["head_top"])
    page.click("#go")
    page.wait_for_selector("#studio:not([hidden])")
    (sent,) = visitor.sent("person")
    known = pose.visible
    wanted = np.array([joint for joint in sent["joints_px"] if joint])
    np.testing.assert_allclose(pose.joints_px[known], wanted, atol=1e-3)
    # The command cuts out the same person.
    source = Source(files["image"], files["mask"], tmp_path / "picture.json")
    who = read_person(source, own_pictures.SIDE)
    assert who.body.visible.sum() == 14
    assert not who.body.flat


@pytest.mark.slow
def test_a_motion_plays_and_a_second_time_from_memory(browse, studio, files, tmp_path):
    visitor = browse(studio).begin(files)
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
    poses = keypoint_files.read(pose_library.POSES_FILE)[:3]
    file = tmp_path / "three.json"
    keypoint_files.write(file, poses)
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
def test_a_server_that_dies_takes_nothing_along(browse, files):
    with serving() as started:
        visitor = browse(started).begin(files)
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
