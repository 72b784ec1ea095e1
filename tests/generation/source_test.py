"""The pose of a picture in a file with one pose or several."""

import dataclasses

import own_pictures
import pytest

from volsynth.errors import UserError
from volsynth.generation.source import read_source_pose
from volsynth.poses import keypoint_files


def test_the_pose_of_a_picture_is_the_only_one_or_the_one_of_its_name(tmp_path):
    found, _ = own_pictures.bring(tmp_path)
    (pose,) = keypoint_files.read(found["pose"])
    other = dataclasses.replace(pose, image="b/other.png", frame=7)
    keypoint_files.write(
        tmp_path / "two.json", [other, dataclasses.replace(pose, image="a/picture")]
    )
    assert read_source_pose(found["pose"], tmp_path / "any.png").image == "picture.jpg"
    assert read_source_pose(tmp_path / "two.json", tmp_path / "other.png").frame == 7
    assert read_source_pose(tmp_path / "two.json", tmp_path / "picture.jpg").frame == 0
    with pytest.raises(UserError, match=r"has 2 poses, 0 of them of an image third\.png"):
        read_source_pose(tmp_path / "two.json", tmp_path / "third.png")
