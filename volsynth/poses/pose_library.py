"""Poses and motions of the package, by their names."""

import pathlib

from volsynth.errors import UserError, did_you_mean
from volsynth.poses import keypoint_files
from volsynth.poses.keypoint_files import Pose

POSES_FILE = pathlib.Path(__file__).with_name("poses.json")
"""The file of all named poses; its entry `made_by` says how it was made."""

MOTIONS_FILE = pathlib.Path(__file__).with_name("motions.json")
"""The file of all named motions; its entry `made_by` says how it was made."""

# In the order in which the studio lists them.
MOTIONS = (
    "walking",
    "running",
    "waving",
    "jumping",
    "dancing",
    "kicking",
    "squatting",
    "turning",
)
"""The names of motions: loops of a few seconds, whose last frame leads to their first."""

MOTION_FPS = 25.0
"""Frames per second of all named motions."""


def named_pose(name: str) -> Pose:
    """The pose of this name, with `joints_mm`.

    Raises:
      UserError: there is none of that name.
    """
    library = {pose.action: pose for pose in keypoint_files.read(POSES_FILE)}
    if name not in library:
        raise UserError(f"there is no pose {name!r}; {did_you_mean(name, library)}")
    return library[name]


def named_motion(name: str) -> list[Pose]:
    """The poses of the motion of this name, a frame each, with `joints_mm`, facing the camera.

    Raises:
      UserError: there is none of that name.
    """
    if name not in MOTIONS:
        raise UserError(f"there is no motion {name!r}; {did_you_mean(name, MOTIONS)}")
    poses = [pose for pose in keypoint_files.read(MOTIONS_FILE) if pose.action == name]
    return sorted(poses, key=lambda pose: pose.frame)
