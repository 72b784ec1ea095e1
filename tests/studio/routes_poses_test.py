"""The studio's server: poses, motions and clips as a page asks for them."""

import io

import numpy as np
import own_pictures
import pytest
from PIL import Image
from visiting import joints_of, named, pixels

from volsynth.generation import persons, render, staged
from volsynth.generation.render import render_bodies
from volsynth.poses import keypoint_files, pose_library
from volsynth.skeleton import HIPS, INDEX, JOINTS
from volsynth.studio import page_poses, pictures, rendering


def bring(page, brought):
    """The brought person, by the page; without intrinsics, of which a page knows nothing."""
    return page.bring(brought[0].read_bytes(), pose=brought[1])


# --- poses ---------------------------------------------------------------------------------------


def test_a_pose_is_rendered_as_the_command_line_does(visit, halves, brought, who):
    page = visit(halves)
    person = bring(page, brought)
    model = own_pictures.halves()
    picture = pictures.read_picture(brought[0].read_bytes(), None)
    own = page_poses.cut_out_person(picture, *joints_of(brought[1]).values(), halves.image_size)
    made = []
    for name, turn in (("waving", 0.0), ("sitting", 0.0), ("waving", 70.0)):
        bodies, square = persons.fit_poses([pose_library.named_pose(name)], own, turn)
        wanted = render_bodies(model, own, bodies, square)[0].astype(int)
        made.append(page.render(person, named(name), turn).astype(int))
        assert np.abs(made[-1] - wanted).max() <= 1
    assert np.abs(made[0] - made[1]).max() > 1
    assert np.abs(made[0] - made[2]).max() > 1
    body = {"person": person, "joints_mm": named().tolist()}
    assert 0 < float(page.post("/render", body).headers["x-seconds"]) < 60


def test_the_source_is_looked_at_once(visit, halves, brought, monkeypatch):
    calls = []
    look = staged.StagedModel.encode
    monkeypatch.setattr(
        staged.StagedModel, "encode", lambda *given: calls.append(1) or look(*given)
    )
    page = visit(halves)
    person = bring(page, brought)
    for name in ("waving", "sitting"):
        page.render(person, named(name))
    assert calls == [1]


def test_where_a_pose_lies_and_how_large_it_is_does_not_matter(visit, brought):
    page = visit()
    person = bring(page, brought)
    first = page.render(person, named())
    np.testing.assert_array_equal(first, page.render(person, named() * 2))
    np.testing.assert_array_equal(first, page.render(person, named() + np.array([900, -70, 30])))
    assert np.any(first != page.render(person, named("sitting")))


def test_files_of_poses_become_what_the_page_takes(visit, tmp_path, brought):
    page = visit()
    content = pose_library.POSES_FILE.read_bytes()
    found = page.post("/poses", content, content_type="application/json").json()
    assert found["fps"] is None
    assert [pose["name"] for pose in found["poses"]][:2] == ["standing", "t_pose"]
    assert found["poses"][0]["joints_px"] is None
    np.testing.assert_allclose(found["poses"][1]["joints_mm"], named("t_pose"), atol=0.06)
    # In the order of frames; joints that are not known are null in pixels, and stand in mm.
    pose = brought[1]
    visible = pose.visible.copy()
    visible[INDEX["left_wrist"]] = False
    frames = [
        keypoint_files.Pose(pose.order, visible, pose.joints_px, pose.joints_mm, frame=frame,
                       action=f"at {frame}")
        for frame in (7, 2)
    ]  # fmt: skip
    keypoint_files.write(tmp_path / "two.json", frames)
    content = (tmp_path / "two.json").read_bytes()
    found = page.post("/poses", content, content_type="application/json").json()["poses"]
    assert [each["name"] for each in found] == ["at 2", "at 7"]
    assert [at for at, joint in enumerate(found[0]["joints_px"]) if joint is None] == [8]
    np.testing.assert_allclose(found[0]["joints_px"][0], pose.joints_px[0], atol=0.06)
    elbow, wrist = (np.array(found[0]["joints_mm"][INDEX[f"left_{at}"]])
                    for at in ("elbow", "wrist"))  # fmt: skip
    assert np.linalg.norm(wrist - elbow) == pytest.approx(245, rel=0.1)
    columns = ",".join(f"{joint}_{axis}_px" for joint in JOINTS for axis in "xy")
    table = f"image,{columns}\na/left.png," + ",".join(map(str, range(30))) + "\n"
    found = page.post("/poses", table.encode(), content_type="text/csv").json()["poses"]
    assert found[0] == {
        "name": "left", "joints_px": [[2.0 * i, 2.0 * i + 1] for i in range(15)],
        "joints_mm": None,
    }  # fmt: skip


# --- motions -------------------------------------------------------------------------------------


NAMES = ["standing", "walking", "walking", "waving", "walking", "sitting", "kicking", "t_pose"]
NAMES += ["star", "star", "lunging", "running"]


def test_strips_are_the_frames_of_animate(visit, halves, brought):
    page = visit(halves)
    person = bring(page, brought)
    body = {"person": person, "poses": [named(name).tolist() for name in NAMES], "fps": 12,
            "turn": 20}  # fmt: skip
    motion = page.post("/motion", body).json()
    assert (motion["frames"], motion["fps"], motion["batch"]) == (12, 12, 8)
    frames = page.frames(motion)
    picture = pictures.read_picture(brought[0].read_bytes(), None)
    who = page_poses.cut_out_person(picture, *joints_of(brought[1]).values(), halves.image_size)
    bodies, square = persons.fit_poses([pose_library.named_pose(name) for name in NAMES], who, 20)
    make = staged.render_staged(own_pictures.halves(), who, square, rendering.BATCH)
    wanted = np.stack(list(render.render_frames(make, bodies, rendering.BATCH)))
    np.testing.assert_array_equal(frames, wanted)
    # Still poses are one picture, moving ones are not.
    np.testing.assert_array_equal(frames[1], frames[2])
    np.testing.assert_array_equal(frames[8], frames[9])
    assert all(np.any(frames[i] != frames[i + 1]) for i in range(11) if i not in (1, 8))
    # From any frame, and with fewer at the end.
    strip = pixels(page.get(f"/motion/{motion['motion']}/6"))
    np.testing.assert_array_equal(strip, np.concatenate(frames[6:]))
    # The skeleton that the page shows is not turned: it turns what it shows itself.
    joints = np.array(motion["joints_mm"])
    assert joints.shape == (12, 15, 3)
    np.testing.assert_allclose(joints[0, list(HIPS)].mean(axis=0), 0, atol=0.06)
    t_pose = joints[7]
    assert abs(t_pose[INDEX["left_wrist"], 2] - t_pose[INDEX["right_wrist"], 2]) < 15
    assert t_pose[INDEX["left_wrist"], 0] - t_pose[INDEX["right_wrist"], 0] > 1200


def test_motions_with_names(visit, brought):
    page = visit()
    person = bring(page, brought)
    for name in ("walking", "turning"):
        motion = page.post("/motion", {"person": person, "name": name}).json()
        assert motion["frames"] == len(pose_library.named_motion(name)) == len(motion["joints_mm"])
        assert motion["fps"] == pose_library.MOTION_FPS
        assert page.frames(motion).shape == (motion["frames"], 32, 32, 3)
    faster = page.post("/motion", {"person": person, "name": "walking", "fps": 50}).json()
    assert faster["fps"] == 50


def test_a_clip_has_the_frames_of_the_strips(visit, brought, tmp_path, monkeypatch):
    page = visit()
    person = bring(page, brought)
    poses = [named(name).tolist() for name in ("waving", "sitting", "star")]
    motion = page.post("/motion", {"person": person, "poses": poses, "fps": 10}).json()
    clip = page.get(f"/motion/{motion['motion']}/clip.gif")
    assert clip.headers["content-type"] == "image/gif"
    assert clip.headers["content-disposition"] == 'attachment; filename="clip.gif"'
    frames = page.frames(motion)
    with Image.open(io.BytesIO(clip.content)) as image:
        assert image.n_frames == 3
        assert image.info["duration"] == 100
        for number in range(3):
            image.seek(number)
            # 256 colours.
            shown = np.asarray(image.convert("RGB")).astype(int)
            assert np.abs(shown - frames[number]).mean() < 4
    # Whatever lies where the server was started has nothing to do with it.
    (tmp_path / "clip.gif").mkdir()
    monkeypatch.chdir(tmp_path)
    assert page.get(f"/motion/{motion['motion']}/clip.gif").status_code == 200
    fast = page.post("/motion", {"person": person, "poses": poses, "fps": 60}).json()
    slower = page.get(f"/motion/{fast['motion']}/clip.gif")
    assert slower.status_code == 422
    assert "frames per second of .gif files must be from 1 to 50" in slower.json()["error"]
    film = page.get(f"/motion/{motion['motion']}/clip.mp4")
    assert film.headers["content-type"] == "video/mp4"
    assert film.content[4:8] == b"ftyp"


def test_without_ffmpeg_there_is_a_line_about_it(visit, brought, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    page = visit()
    motion = page.post("/motion", {"person": bring(page, brought), "name": "waving"}).json()
    found = page.get(f"/motion/{motion['motion']}/clip.mp4")
    assert found.status_code == 422
    assert found.json()["error"].startswith("MP4 needs the extra `video`")
