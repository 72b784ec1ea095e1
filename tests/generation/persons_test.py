"""Pictures of one's own: masks, squares, poses in space, and what cannot be used."""

import dataclasses

import numpy as np
import own_pictures
import pytest
from PIL import Image
from seen_people import see

from data_prep import preparing
from data_prep.posed_people import library
from volsynth import skeleton
from volsynth.errors import UserError
from volsynth.export import exported_model
from volsynth.generation import estimation, persons, pictures, render, source
from volsynth.ops import geometry
from volsynth.poses import joint_orders, keypoint_files, pose_library, retargeting


@pytest.mark.parametrize("kind", ["mask", "alpha", "magenta"])
def test_the_person_is_found_by_mask_alpha_channel_or_magenta(tmp_path, kind):
    found, mask = own_pictures.bring(tmp_path, kind)
    picture = pictures.read_picture(found["image"], found["mask"])
    read = picture.mask
    assert picture.image.shape == (160, 120, 3)
    # JPEG moves the colours of edges, of which a small picture has many.
    assert (read != mask).mean() < (0.02 if kind == "magenta" else 1e-9)


def test_a_mask_counts_before_anything_else(tmp_path):
    found, mask = own_pictures.bring(tmp_path, "alpha")
    most = np.ones(mask.shape, bool)
    most[0] = most[:, 0] = False
    Image.fromarray(255 * most.astype(np.uint8)).save(tmp_path / "most.png")
    read = pictures.read_picture(found["image"], tmp_path / "most.png").mask
    np.testing.assert_array_equal(read, most)


@pytest.mark.parametrize("level", [0, 255])
def test_a_mask_may_be_a_silhouette_on_a_transparent_ground(tmp_path, level):
    found, mask = own_pictures.bring(tmp_path, "none")
    picture = np.dstack([np.full((*mask.shape, 3), level), 255 * mask]).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "cut-out.png")
    read = pictures.read_picture(found["image"], tmp_path / "cut-out.png").mask
    np.testing.assert_array_equal(read, mask)


def test_a_hole_in_a_picture_on_magenta_does_not_make_magenta_a_person(tmp_path):
    found, mask = own_pictures.bring(tmp_path, "none")
    image = np.asarray(Image.open(found["image"]))
    image = np.where(mask[..., None], image, np.array([255, 0, 255], np.uint8))
    alpha = np.full(mask.shape, 255, np.uint8)
    alpha[:3, :3] = 0
    Image.fromarray(np.dstack([image, alpha])).save(tmp_path / "hole.png")
    read = pictures.read_picture(tmp_path / "hole.png").mask
    assert (read != mask).mean() < 1e-3


def test_a_background_that_was_not_removed_is_one_clear_line(tmp_path):
    found, _ = own_pictures.bring(tmp_path, "none")
    with pytest.raises(UserError, match="background was not removed") as caught:
        pictures.read_picture(found["image"])
    for hint in ("--mask FILE, white where the person is", "transparent", r"(255, 0, 255)"):
        assert hint in str(caught.value)
    # A transparent corner is no background that was removed.
    image = np.asarray(Image.open(found["image"]).convert("RGBA")).copy()
    image[:3, :3, 3] = 0
    Image.fromarray(image).save(tmp_path / "corner.png")
    with pytest.raises(UserError, match=r"corner\.png: its background was not removed"):
        pictures.read_picture(tmp_path / "corner.png")


def test_pictures_and_masks_that_do_not_fit(tmp_path):
    found, mask = own_pictures.bring(tmp_path, "none")
    for name, levels in (
        ("small", np.zeros((8, 9), np.uint8)),
        ("empty", np.zeros(mask.shape, np.uint8)),
        ("dot", 255 * (np.indices(mask.shape).sum(axis=0) < 5).astype(np.uint8)),
        ("all", np.full(mask.shape, 255, np.uint8)),
        ("inverted", 255 * (~mask).astype(np.uint8)),
        ("photograph", np.asarray(Image.open(found["image"]).convert("L"))),
    ):
        Image.fromarray(levels).save(tmp_path / f"{name}.png")
    for name, message in (
        ("small", "must have one size, got 120 x 160 and 9 x 8"),
        ("empty", "there is nobody"),
        ("dot", "the person is 5 pixels large; at least 16"),
        ("all", r"all\.png: nearly all of its border is white"),
        ("inverted", r"inverted\.png: nearly all of its border is white"),
        ("photograph", r"photograph\.png is no mask: \d+% of it is neither black nor white"),
    ):
        with pytest.raises(UserError, match=message):
            pictures.read_picture(found["image"], tmp_path / f"{name}.png")
    found["image"].write_bytes(found["image"].read_bytes()[:500])
    with pytest.raises(UserError, match="cannot be read as a picture"):
        pictures.read_picture(found["image"])


def test_a_turned_photograph_is_read_upright(tmp_path):
    found, mask = own_pictures.bring(tmp_path, "alpha")
    image = Image.open(found["image"]).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    picture = pictures.read_picture(tmp_path / "turned.png")
    np.testing.assert_array_equal(picture.mask, mask)
    np.testing.assert_array_equal(picture.image, pictures.read_picture(found["image"]).image)


def test_a_person_is_what_preparation_makes_of_the_same_photograph(tmp_path):
    seen = see(8003, 1, size=160).sighting
    record = preparing.prepare(seen, 32)
    pose = keypoint_files.Pose(
        joint_orders.VOLSYNTH_15, seen.visible, seen.joints_px, seen.joints_mm,
        intrinsics=seen.camera.intrinsics,
    )  # fmt: skip
    found = persons.crop_person(seen.image, seen.mask, pose, 32)
    np.testing.assert_array_equal(found.image, record["image"])
    wanted = geometry.image_pose(
        record["joints_px"], record["joints_mm"], record["visible"],
        record["camera_intrinsics"], 32.0,
    )  # fmt: skip
    np.testing.assert_allclose(found.joints, wanted, atol=1e-3)
    # Without a camera, depth is that of one distance for all of the person.
    nearly = persons.crop_person(
        seen.image, seen.mask, dataclasses.replace(pose, intrinsics=None), 32
    )
    np.testing.assert_allclose(nearly.joints, wanted, atol=1.2)


def test_poses_of_pictures_that_cannot_be_used(tmp_path):
    found, mask = own_pictures.bring(tmp_path)
    image = pictures.read_picture(found["image"], found["mask"]).image
    (pose,) = keypoint_files.read(found["pose"])

    def fails(message, mask=mask, **changes):
        with pytest.raises(UserError, match=message):
            persons.crop_person(image, mask, dataclasses.replace(pose, **changes), 32)

    fails("has no joints_px", joints_px=None)
    fails(r"pose\.json: pose 0 .*: 15 joints lie outside of the picture of 120 x 160 pixels, such",
          joints_px=pose.joints_px + 1000)  # fmt: skip
    fails("mask holds nothing near the joints", mask=np.zeros_like(mask))
    fails("1 joints are known; 2", visible=np.arange(15) == 3)
    fails(r"pose 0 .*: 2 of 15 joints are known, and too few", visible=np.arange(15) < 2)
    far = pose.joints_mm.copy()
    far[5] = (1e6, 0, 1e6)
    fails(r"pose 0 .*: from right_elbow to right_wrist it is \d+ times as far", joints_mm=far)
    fails("joints_px and joints_mm are of different poses", intrinsics=None,
          joints_mm=pose.joints_mm * (-1, -1, 1))  # fmt: skip


def test_the_pose_of_a_picture_is_the_only_one_or_the_one_of_its_name(tmp_path):
    found, _ = own_pictures.bring(tmp_path)
    (pose,) = keypoint_files.read(found["pose"])
    other = dataclasses.replace(pose, image="b/other.png", frame=7)
    keypoint_files.write(
        tmp_path / "two.json", [other, dataclasses.replace(pose, image="a/picture")]
    )
    assert source.read_source_pose(found["pose"], tmp_path / "any.png").image == "picture.jpg"
    assert source.read_source_pose(tmp_path / "two.json", tmp_path / "other.png").frame == 7
    assert source.read_source_pose(tmp_path / "two.json", tmp_path / "picture.jpg").frame == 0
    with pytest.raises(UserError, match=r"has 2 poses, 0 of them of an image third\.png"):
        source.read_source_pose(tmp_path / "two.json", tmp_path / "third.png")


def test_the_library_is_what_its_maker_makes(tmp_path):
    library.write_named(tmp_path / "poses.json")
    assert (tmp_path / "poses.json").read_text() == pose_library.POSES_FILE.read_text()
    names = {pose.action for pose in keypoint_files.read(pose_library.POSES_FILE)}
    assert names == set(library.NAMED) >= {"standing", "walking", "t_pose", "sitting", "waving"}
    with pytest.raises(UserError, match="no pose 'siting'; did you mean 'sitting'"):
        pose_library.named_pose("siting")


def test_named_poses_are_as_they_are_called():
    joints = {name: pose_library.named_pose(name).joints_mm for name in library.NAMED}
    at = skeleton.INDEX
    t_pose, waving, sitting = joints["t_pose"], joints["waving"], joints["sitting"]
    for side, sign in (("right", -1), ("left", 1)):
        arm = t_pose[at[f"{side}_wrist"]] - t_pose[at[f"{side}_shoulder"]]
        np.testing.assert_allclose(arm / np.linalg.norm(arm), (sign, 0, 0), atol=0.06)
        # The knees are in front of the hips, towards the camera.
        assert sitting[at[f"{side}_knee"], 2] < sitting[at[f"{side}_hip"], 2] - 300
    assert waving[at["right_wrist"], 1] < waving[at["head_top"], 1]
    for pose in joints.values():
        assert pose[:, 1].max() == pytest.approx(-library.FOOT_MM, abs=0.1)


def test_motions_of_the_rendered_people(tmp_path):
    assert (
        library.main(["--motion", "walk", "--seconds", "0.2", "--out", f"{tmp_path}/w.json"]) == 0
    )
    poses = keypoint_files.read(tmp_path / "w.json")
    assert [pose.frame for pose in poses] == [0, 1, 2, 3, 4]
    assert np.abs(np.diff([pose.joints_mm for pose in poses], axis=0)).max() < 150
    with pytest.raises(UserError, match="no action 'wakl'; did you mean 'walk'"):
        library.motion_poses("wakl", 1, 25)
    with pytest.raises(UserError, match="must be from 1 to 10,000 frames"):
        library.motion_poses("walk", 1e9, 25)
    assert library.main(["--motion", "wakl", "--out", f"{tmp_path}/w.json"]) == 2


def test_staged_poses_have_the_persons_size_and_place(tmp_path):
    found, mask = own_pictures.bring(tmp_path)
    image = pictures.read_picture(found["image"], found["mask"]).image
    (pose,) = keypoint_files.read(found["pose"])
    who = persons.crop_person(image, mask, pose, 32)
    (body,), square = persons.fit_poses([pose_library.named_pose("standing")], who)
    assert retargeting.body_size(body) == pytest.approx(retargeting.body_size(who.body), rel=0.05)
    # All of the square's joints are in its picture, with the margin that prepared data has.
    joints = square.joints(body)
    assert joints[:, :2].min() > 0.08 * 32
    assert joints[:, :2].max() < 0.92 * 32
    assert joints[:, 2].mean() == pytest.approx(16, abs=1e-3)
    for angle in (np.nan, np.inf):
        with pytest.raises(UserError, match="--turn must be a number of degrees, got"):
            persons.fit_poses([pose_library.named_pose("standing")], who, angle)


def _in_pixels(pose, scale, place):
    """A pose in mm as a detector finds it in a frame."""
    joints = pose.joints_mm[:, :2] * scale + place
    return dataclasses.replace(pose, joints_px=joints, joints_mm=None)


def test_a_motion_is_scaled_and_moved_as_one(tmp_path):
    found, mask = own_pictures.bring(tmp_path)
    image = pictures.read_picture(found["image"], found["mask"]).image
    (pose,) = keypoint_files.read(found["pose"])
    who = persons.crop_person(image, mask, pose, 32)
    standing, squatting = (pose_library.named_pose(name) for name in ("standing", "squatting"))
    own = retargeting.body_size(who.body)

    moved = dataclasses.replace(squatting, joints_mm=squatting.joints_mm + np.array([200.0, 0, 0]))
    (_, a, b), _ = persons.fit_poses([standing, squatting, moved], who)
    np.testing.assert_allclose((b.joints - a.joints)[:, 0], 200 * own, rtol=0.05)

    # Of a detector: far from the origin, with noise, and looking smaller as it squats.
    rng = np.random.default_rng(0)
    frames = [_in_pixels(standing, 0.3, (1500, 1500)) for _ in range(8)]
    frames = [
        dataclasses.replace(f, joints_px=f.joints_px + rng.normal(0, 3, (15, 2))) for f in frames
    ]
    bodies, _ = persons.fit_poses(frames, who)
    middles = np.array([body.joints[:, :2].mean(axis=0) for body in bodies])
    assert middles.std(axis=0).max() < 3 * 3 / 15**0.5 * own / 0.3
    low = _in_pixels(squatting, 0.3, (1500, 1500))
    (a, b), _ = persons.fit_poses([frames[0], low], who)
    scales = [
        np.ptp(body.joints[:, 1]) / np.ptp(frame.joints_px[:, 1])
        for body, frame in ((a, frames[0]), (b, low))
    ]
    assert scales[0] == pytest.approx(scales[1], rel=1e-6)
    # A frame that shows too little to tell a size is put in with the others.
    little = dataclasses.replace(low, visible=np.arange(15) < 3)
    assert len(persons.fit_poses([frames[0], little], who)[0]) == 2
    with pytest.raises(UserError, match="too few of them are neighbours"):
        persons.fit_poses([little, little], who)


def test_models_of_the_other_kind_are_refused(monkeypatch):
    joints = np.zeros((15, 3))
    kinds = {"dots": own_pictures.dots(), "finder": own_pictures.finder(joints[:, :2], joints)}
    monkeypatch.setattr(exported_model, "load", lambda path, program=None: kinds[path])
    with pytest.raises(UserError, match="finder finds poses and makes no pictures"):
        render.load_generator("finder")
    with pytest.raises(UserError, match="dots makes pictures and finds no poses"):
        estimation.load_estimator("dots")
    assert render.load_generator("dots") is kinds["dots"]
    assert estimation.load_estimator("finder") is kinds["finder"]


def test_an_estimator_looks_again_without_what_of_a_mask_is_far_from_the_person(tmp_path):
    found, mask = own_pictures.bring(tmp_path)
    image = pictures.read_picture(found["image"], found["mask"]).image
    looks = []

    class Model:
        """Finds fifteen joints around the middle of what is shown."""

        image_size = 64

        def __call__(self, images):
            seen = np.abs(images[0] - (1, -1, 1)).max(axis=-1) > 0.5
            looks.append(seen.mean())
            rows, columns = np.nonzero(seen)
            middle = np.median(np.stack([columns, rows]), axis=1) + 0.5
            spread = 0.5 * np.ptp(np.quantile(rows, (0.05, 0.95)))
            px = middle + spread * np.linspace((-0.2, -1), (0.2, 1), 15)
            return {"joints_px": px[None], "joints_mm": np.zeros((1, 15, 3))}

    clean = estimation.estimate_pose(Model(), image, mask)
    assert len(looks) == 1
    dirty = mask.copy()
    dirty[:3, :3] = dirty[157:, 117:] = True
    looks.clear()
    again = estimation.estimate_pose(Model(), image, dirty)
    assert 1 < len(looks) <= estimation.MOST_LOOKS
    assert looks[-1] > 1.3 * looks[0]
    np.testing.assert_array_equal(again.joints_px, clean.joints_px)
