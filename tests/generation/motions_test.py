"""Motions: files of poses in the order of their frames, names, and mistakes."""

import pathlib

import own_pictures
import pytest

from volsynth.errors import UserError
from volsynth.generation import motions
from volsynth.poses import keypoint_files

NAMES = ["standing", "walking", "walking", "waving", "walking", "sitting", "kicking"]


def test_frames_come_in_the_order_of_their_numbers(tmp_path):
    poses = motions.read_motion(
        own_pictures.write_motion(tmp_path / "m.json", NAMES[:3], [5, 0, 2])
    )
    assert [pose.frame for pose in poses] == [0, 2, 5]
    # Files of single pictures have no numbers.
    poses = motions.read_motion(
        own_pictures.write_motion(tmp_path / "m.json", NAMES[:3], [0, 0, 0])
    )
    assert [pose.action for pose in poses] == NAMES[:3]
    with pytest.raises(UserError, match="has several poses of one frame"):
        motions.read_motion(own_pictures.write_motion(tmp_path / "m.json", NAMES[:3], [1, 0, 1]))
    keypoint_files.write(tmp_path / "m.json", [])
    with pytest.raises(UserError, match="has 0 poses; a motion has 1 to 100,000"):
        motions.read_motion(tmp_path / "m.json")


def test_a_motion_is_a_file_or_a_name(tmp_path, monkeypatch):
    poses, fps = motions.find_motion("waving")
    assert [pose.action for pose in poses] == ["waving"] * 42
    assert fps == 25
    monkeypatch.chdir(tmp_path)
    # A file counts before a name.
    own_pictures.write_motion(pathlib.Path("waving.json"), NAMES[:2]).rename("waving")
    assert len(motions.find_motion("waving")[0]) == 2
    with pytest.raises(
        UserError, match=r"--motion w\.json is neither a file nor a motion's name; All"
    ):
        motions.find_motion("w.json")
    with pytest.raises(
        UserError, match=r"did you mean 'running'\? Allowed: dancing, .*walking, waving"
    ):
        motions.find_motion(pathlib.Path("runing"))
