"""A person cut out of a picture, and poses that get the person's size and place."""

import dataclasses

import numpy as np
import own_pictures
import pytest
from seen_people import see

from data_prep.building import preparing
from volsynth import skeleton
from volsynth.errors import UserError
from volsynth.generation import persons, pictures
from volsynth.ops import geometry
from volsynth.poses import joint_orders, keypoint_files, pose_library, retargeting


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


def test_of_a_person_whom_the_picture_cuts_off_only_that_is_shown(tmp_path):
    found, mask = own_pictures.bring(tmp_path)
    image = pictures.read_picture(found["image"], found["mask"]).image
    (pose,) = keypoint_files.read(found["pose"])
    knees, ankles = (
        [skeleton.INDEX[f"{s}_{j}"] for s in ("left", "right")] for j in ("knee", "ankle")
    )
    hips = list(skeleton.HIPS)
    standing = pose_library.named_pose("standing")
    # Above the knees.
    height = int(pose.joints_px[[*hips, *knees], 1].mean())
    visible = pose.visible.copy()
    visible[[*knees, *ankles]] = False
    half = dataclasses.replace(pose, visible=visible)
    who = persons.crop_person(image[:height], mask[:height], half, 32)
    assert who.cut_off
    (body,), _ = persons.fit_poses([standing], who)
    np.testing.assert_array_equal(body.visible, visible)
    assert body.joints[hips, 1].max() == pytest.approx(height)
    # Whoever stands inside of the picture has legs, even if nobody knows where.
    who = persons.crop_person(image, mask, half, 32)
    assert not who.cut_off
    assert persons.fit_poses([standing], who)[0][0].visible.all()
    visible[hips] = False
    with pytest.raises(
        UserError, match=r"pose\.json: .* neither hip is known, so that there is no"
    ):
        persons.crop_person(image, mask, half, 32)
