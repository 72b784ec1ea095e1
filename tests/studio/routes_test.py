"""The studio's server: pictures, persons, poses and motions as a page asks for them."""

import asyncio
import io

import httpx2
import numpy as np
import own_pictures
import pytest
from PIL import Image
from visiting import HOST, POST, joints_of, named, pixels, png

from volsynth.generation import estimation, persons, render, staged
from volsynth.generation.bodies import to_body
from volsynth.generation.render import render_bodies
from volsynth.generation.source import Source, read_person
from volsynth.images import cropping
from volsynth.poses import keypoint_files, pose_library, retargeting
from volsynth.skeleton import HIPS, INDEX, JOINTS
from volsynth.studio import page_poses, pictures, rendering, server


@pytest.fixture
def who(brought):
    """The person of the brought picture, by the functions of the command line."""
    return lambda side: read_person(
        Source(brought[0], None, brought[0].with_name("pose.json")), side, None
    )


def bring(page, brought):
    """Brings the person of `who` through the page, which knows nothing of intrinsics."""
    return page.bring(brought[0].read_bytes(), pose=brought[1])


# --- what the page is told -----------------------------------------------------------------------


def test_the_page_is_told_what_there_is(visit):
    page = visit()
    about = page.get("/about").json()
    assert about["joints"] == list(JOINTS)
    assert about["bones"] == [[parent, child] for parent, child, _ in retargeting.BONES]
    assert [about["joints"][at] for at in about["mirror"][3:9]] == [
        *("left_shoulder", "left_elbow", "left_wrist"),
        *("right_shoulder", "right_elbow", "right_wrist"),
    ]
    assert [INDEX["neck"], INDEX["left_shoulder"], "left"] in about["limbs"]
    assert (about["estimator"], about["person"]) == (False, None)
    assert about["model"]["image_size"] == own_pictures.SIDE
    assert {"standing", "waving"} <= {pose["name"] for pose in about["poses"]}
    for pose in about["poses"]:
        joints = np.array(pose["joints_mm"])
        np.testing.assert_allclose(joints[list(HIPS)].mean(axis=0), 0, atol=0.06)
        wanted = named(pose["name"])
        np.testing.assert_allclose(joints - joints[0], wanted - wanted[0], atol=0.11)
    assert [motion["name"] for motion in about["motions"]] == list(pose_library.MOTIONS)
    assert about["motions"][0]["frames"] == len(pose_library.named_motion(pose_library.MOTIONS[0]))
    assert set(about["limits"]) == {"picture_bytes", "poses_bytes", "frames"}
    policy = page.get("/").headers["content-security-policy"]
    assert "img-src 'self' blob:;" in policy
    assert "unsafe" not in policy


def test_a_person_of_the_command_line_is_there_at_once(visit, brought, who):
    page = visit(who=who(own_pictures.SIDE))
    person = page.get("/about").json()["person"]
    shown = pixels(page.get(f"/person/{person['person']}"))
    np.testing.assert_array_equal(shown, who(own_pictures.SIDE).image)
    assert page.render(person["person"], person["joints_mm"]).shape == (32, 32, 3)


# --- pictures ------------------------------------------------------------------------------------


def test_a_guess_stands_in_the_persons_box_and_has_depth(visit, brought):
    file, _, mask = brought
    page = visit()
    found = page.post("/picture", file.read_bytes()).json()
    assert (found["width"], found["height"], found["background"]) == (120, 160, "known")
    px, mm = (np.array(found["pose"][key]) for key in ("joints_px", "joints_mm"))
    assert found["pose"]["from"] == "guess"
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    # Head and feet reach beyond their joints.
    assert rows[0] < px[:, 1].min() < rows[0] + 0.12 * np.ptp(rows)
    assert rows[-1] > px[:, 1].max() > rows[-1] - 0.12 * np.ptp(rows)
    assert (px[:, 0].min() + px[:, 0].max()) / 2 == pytest.approx(columns[[0, -1]].mean(), abs=1)
    standing = named("standing")
    np.testing.assert_allclose(mm, standing - standing[list(HIPS)].mean(axis=0), atol=0.06)
    scale = np.ptp(px[:, 1]) / np.ptp(mm[:, 1])
    np.testing.assert_allclose(px - px[0], (mm - mm[0])[:, :2] * scale, atol=0.2)
    answer = page.post("/person", {"picture": found["picture"], "joints_px": px.tolist(),
                                   "joints_mm": mm.tolist()})  # fmt: skip
    assert answer.status_code == 201
    assert not answer.json()["flat"]


def test_a_guess_of_whoever_stands_at_the_edge_stays_in_the_picture():
    mask = np.zeros((100, 40), bool)
    mask[5:100, 38:40] = True
    pose = estimation.guess_pose(mask, "x")
    assert pose.joints_px.min() >= 0
    assert np.all(pose.joints_px <= (40, 100))


def test_an_estimator_finds_the_pose_at_the_edge_at_most(visit, brought):
    side, rng = own_pictures.SIDE, np.random.default_rng(0)
    px, mm = rng.uniform(-9, side, (15, 2)), rng.normal(0, 300, (15, 3))
    page = visit(estimator=own_pictures.finder(px, mm))
    assert page.get("/about").json()["estimator"] is True
    pose = page.post("/picture", brought[0].read_bytes()).json()["pose"]
    square = persons.Crop(*cropping.square_around_mask(brought[2]), side)
    wanted = px * square.extent / side + square.corner
    assert wanted.min() < 0
    np.testing.assert_allclose(pose["joints_px"], np.clip(wanted, 0, (120, 160)), atol=0.06)
    np.testing.assert_allclose(pose["joints_mm"], mm, atol=0.06)
    assert pose["from"] == "estimator"


def test_a_background_that_is_not_known_waits_for_a_mask(visit, brought):
    file, pose, mask = brought
    page = visit()
    opaque = png(np.asarray(Image.open(file).convert("RGB")))
    first = page.post("/picture", opaque).json()
    assert (first["background"], first["pose"]) == ("unknown", None)
    refused = page.post("/person", {"picture": first["picture"], **joints_of(pose)})
    assert refused.status_code == 422
    assert "background is not known" in refused.json()["error"]
    address = f"/picture/{first['picture']}/mask"
    for wrong, line in (
        (png(mask[:9].astype(np.uint8) * 255), "must have one size, got 120 x 160 and 120 x 9"),
        (png(np.zeros_like(mask, np.uint8)), "the mask: there is nobody"),
        (b"no picture", "the mask cannot be read as a picture"),
    ):
        refused = page.post(address, wrong)
        assert refused.status_code == 422
        assert line in refused.json()["error"]
    second = page.post(address, png(mask.astype(np.uint8) * 255)).json()
    assert second["background"] == "known"
    assert page.post("/person", {"picture": second["picture"], **joints_of(pose)}).is_success


def test_a_picture_is_shown_small_with_a_pale_background(visit, brought):
    page = visit()
    name = page.post("/picture", brought[0].read_bytes()).json()["picture"]
    shown, mask = pixels(page.get(f"/picture/{name}")).astype(int), brought[2]
    whole = np.asarray(Image.open(brought[0]).convert("RGB"))
    np.testing.assert_array_equal(shown[mask], whole[mask])
    assert np.ptp(shown[~mask], axis=-1).max() == 0
    assert shown[~mask].min() >= 0.75 * 225 - 1
    large = np.zeros((10, 3000, 3), np.uint8)
    large[:, :1500] = 200
    name = page.post("/picture", png(large)).json()["picture"]
    shown = pixels(page.get(f"/picture/{name}"))
    assert shown.shape == (3, 1024, 3)
    assert (shown[1, 0, 0], shown[1, -1, 0]) == (200, 0)


# --- persons -------------------------------------------------------------------------------------


def test_a_person_is_as_the_command_line_makes_it(visit, brought, who):
    page = visit()
    answer = page.post("/picture", brought[0].read_bytes()).json()
    answer = page.post("/person", {"picture": answer["picture"], **joints_of(brought[1])}).json()
    own = who(own_pictures.SIDE)
    np.testing.assert_array_equal(pixels(page.get(f"/person/{answer['person']}")), own.image)
    joints = np.array(answer["joints_mm"])
    np.testing.assert_allclose(joints[list(HIPS)].mean(axis=0), 0, atol=0.06)
    size = retargeting.body_size(own.body)
    across = (own.body.joints - own.body.joints[0])[:, :2] / size
    np.testing.assert_allclose((joints - joints[0])[:, :2], across, atol=0.02 * np.ptp(across))
    # The lengths of the two sides are one, and lead to the same size.
    lengths = {tuple(b[:2]): mm for b, mm in zip(retargeting.BONES, answer["bones"])}
    sides = [(INDEX[f"{side}_hip"], INDEX[f"{side}_knee"]) for side in ("left", "right")]
    assert lengths[sides[0]] == lengths[sides[1]]
    thighs = [np.linalg.norm(joints[a] - joints[b]) for a, b in sides]
    assert lengths[sides[0]] == pytest.approx(np.mean(thighs), abs=0.3)


def test_a_person_of_whom_some_joints_are_unknown_is_told_whole(visit, brought):
    file, pose, _ = brought
    page = visit()
    picture = page.post("/picture", file.read_bytes()).json()["picture"]
    given = joints_of(pose)
    lost = INDEX["right_wrist"]
    given["joints_px"][lost] = None
    found = page.post("/person", {"picture": picture, **given}).json()
    whole = page.post("/person", {"picture": picture, **joints_of(pose)}).json()
    joints, all_joints = np.array(found["joints_mm"]), np.array(whole["joints_mm"])
    rest = np.arange(15) != lost
    # The wrist tells the size, too.
    np.testing.assert_allclose(joints[rest], all_joints[rest], atol=40)
    standing = named("standing")
    hand = standing[lost] - standing[INDEX["right_elbow"]]
    np.testing.assert_allclose(joints[lost] - joints[INDEX["right_elbow"]], hand, atol=8)
    flat = page.post("/person", {"picture": picture, "joints_px": given["joints_px"]}).json()
    assert flat["flat"]
    assert np.ptp([joint[2] for i, joint in enumerate(flat["joints_mm"]) if i != lost]) == 0
    assert flat["bones"] == [mm for *_, mm in retargeting.BONES]


def test_hips_that_are_unknown_are_where_they_would_be():
    body = to_body(pose_library.named_pose("standing"))
    visible = body.visible.copy()
    visible[list(HIPS)] = False
    half = body._replace(joints=np.where(visible[:, None], body.joints * 2 + 5, 0), visible=visible)
    whole = retargeting.complete_body(half, body)
    np.testing.assert_allclose(whole, body.joints * 2 + 5, atol=0.2)


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


# --- many at once --------------------------------------------------------------------------------


def test_fifty_pages_at_once_meet_no_error(dots, brought):
    app = server.make_app(dots, None, [HOST])
    content = brought[0].read_bytes()
    poses = ("waving", "sitting", "star", "t_pose", "walking")

    async def one(client, number):
        sent = {**POST, "content-type": "image/png"}
        picture = (await client.post("/picture", content=content, headers=sent)).json()
        given = {"picture": picture["picture"], **joints_of(brought[1])}
        person = (await client.post("/person", json=given, headers=POST)).json()["person"]
        made = {}
        for at in range(2):
            name = poses[(number + at) % len(poses)]
            body = {"person": person, "joints_mm": named(name).tolist()}
            found = await client.post("/render", json=body, headers=POST)
            assert found.status_code == 200, found.text
            made[name] = found.content
        return made

    async def all_at_once():
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
            return await asyncio.gather(*(one(client, number) for number in range(50)))

    made = asyncio.run(all_at_once())
    # Nobody got another one's pose.
    for name in poses:
        assert len({each[name] for each in made if name in each}) == 1
    assert len({each["waving"] for each in made if "waving" in each}
               | {each["star"] for each in made if "star" in each}) == 2  # fmt: skip
