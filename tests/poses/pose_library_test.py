"""Poses and motions with names: made by their maker, closed, and what their names say."""

import numpy as np
import pytest

from data_prep.posed_people import library
from volsynth import skeleton
from volsynth.errors import UserError
from volsynth.poses import keypoint_files, pose_library
from volsynth.skeleton import INDEX


@pytest.fixture(scope="module")
def joints():
    """All frames of every motion, [N, 15, 3] mm."""
    return {
        name: np.array([p.joints_mm for p in pose_library.named_motion(name)])
        for name in pose_library.MOTIONS
    }


def test_the_file_is_what_its_maker_makes(tmp_path):
    assert library.main(["--loops", "--out", f"{tmp_path}/m.json"]) == 0
    assert (tmp_path / "m.json").read_text() == pose_library.MOTIONS_FILE.read_text()
    assert tuple(library.LOOPS) == pose_library.MOTIONS
    assert pose_library.MOTION_FPS == library.LOOP_FPS
    assert pose_library.MOTIONS_FILE.stat().st_size < 150_000


def test_frames_come_in_order_and_a_motion_takes_seconds(joints):
    for name in pose_library.MOTIONS:
        assert [pose.frame for pose in pose_library.named_motion(name)] == list(
            range(len(joints[name]))
        )
        assert 1 <= len(joints[name]) / pose_library.MOTION_FPS <= 3


def test_what_would_follow_the_last_frame_is_the_first(joints):
    for name, frames in joints.items():
        following = library.loop_pose(name, len(frames)).joints_mm
        np.testing.assert_array_equal(following, frames[0], err_msg=name)
        # Nor is the way there further than between others.
        steps = np.abs(np.diff(np.concatenate([frames, frames[:1]]), axis=0)).max(axis=(1, 2))
        assert steps[-1] <= 1.1 * steps[:-1].max(), name
        assert steps.max() > 20, name


def test_motions_are_as_they_are_called(joints):
    right, left = (INDEX[f"{side}_wrist"] for side in ("right", "left"))
    head, hip, ankle = INDEX["head_top"], INDEX["right_hip"], INDEX["right_ankle"]
    waving, squatting, turning = (joints[name] for name in ("waving", "squatting", "turning"))
    assert np.all(waving[:, right, 1] < waving[:, head, 1])
    assert np.all(waving[:, left, 1] > waving[:, hip, 1])
    height = squatting[:, ankle, 1] - squatting[:, hip, 1]
    assert height.min() < 0.7 * height.max()
    # Feet cross one another as often as there are steps; a walk and a run have different numbers.
    for name, steps in (("walking", 2), ("running", 4)):
        ahead = joints[name][:, ankle, 2] < joints[name][:, INDEX["left_ankle"], 2]
        assert np.sum(ahead != np.roll(ahead, 1)) == steps
    # Once around, to the left: the left hand, on the camera's right, goes away from it first.
    across = turning[:, left] - turning[:, right]
    angles = np.unwrap(np.arctan2(across[:, 2], across[:, 0]))
    np.testing.assert_allclose(np.degrees(np.diff(angles)), 7.2, atol=0.5)


def test_a_name_that_is_not_there():
    with pytest.raises(UserError, match=r"no motion 'walkin'; did you mean 'walking'\? Allowed"):
        pose_library.named_motion("walkin")


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
