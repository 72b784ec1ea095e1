"""Motions with names: loops of a few seconds, whose last frame leads to their first."""

import pathlib

from volsynth import keypoints
from volsynth.errors import UserError, did_you_mean
from volsynth.keypoints import Pose

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
    poses = [pose for pose in keypoints.read(FILE) if pose.action == name]
    return sorted(poses, key=lambda pose: pose.frame)
