"""Motions with names: loops of a few seconds, whose last frame leads to their first."""

import pathlib

from volsynth.errors import UserError, did_you_mean
from volsynth.poses import keypoint_files
from volsynth.poses.keypoint_files import Pose

FILE = pathlib.Path(__file__).with_name("motions.json")
"""All of them; its entry `made_by` says how it was made."""

NAMES = (
    "walking",
    "running",
    "waving",
    "jumping",
    "dancing",
    "kicking",
    "squatting",
    "turning",
)

FPS = 25.0
"""Frames per second of all of them."""


def read(name: str) -> list[Pose]:
    """The poses of a motion, a frame each, with `joints_mm`, facing the camera.

    Raises:
      UserError: there is none of that name.
    """
    if name not in NAMES:
        raise UserError(f"there is no motion {name!r}; {did_you_mean(name, NAMES)}")
    poses = [pose for pose in keypoint_files.read(FILE) if pose.action == name]
    return sorted(poses, key=lambda pose: pose.frame)


LIBRARY = pathlib.Path(__file__).with_name("poses.json")
"""Poses with names; its entry `made_by` says how it was made."""


def named_pose(name: str) -> Pose:
    """A pose of the package.

    Raises:
      UserError: there is none of that name.
    """
    library = {pose.action: pose for pose in keypoint_files.read(LIBRARY)}
    if name not in library:
        raise UserError(f"there is no pose {name!r}; {did_you_mean(name, library)}")
    return library[name]
