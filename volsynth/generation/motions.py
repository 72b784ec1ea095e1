"""Motions that a person can be shown in: files of poses, a pose for each frame, or names."""

import os
import pathlib

from volsynth.errors import UserError, did_you_mean
from volsynth.poses import keypoint_files, pose_library
from volsynth.poses.keypoint_files import Pose

MOST_FRAMES = 100_000
"""The largest number of frames of a motion."""

FPS = 25.0
"""Frames per second of a motion from a file, because files do not tell it."""


def find_motion(motion: str | os.PathLike[str]) -> tuple[list[Pose], float]:
    """The poses of a file, or else of a motion of that name, and their frames per second.

    Raises:
      UserError: there is neither, or as `read_motion`.
    """
    # A file counts before a name, so that a file called like a motion can be given at all.
    if pathlib.Path(motion).exists():
        return read_motion(pathlib.Path(motion)), FPS
    name = str(motion)
    if name not in pose_library.MOTIONS:
        raise UserError(
            f"--motion {name} is neither a file nor a motion's name; "
            f"{did_you_mean(name, pose_library.MOTIONS)}"
        )
    return pose_library.named_motion(name), pose_library.MOTION_FPS


def read_motion(path: str | os.PathLike[str]) -> list[Pose]:
    """Reads the poses of a file, in the order of their frames.

    Raises:
      UserError: the file cannot be read, has no poses or too many, or two of one frame.
    """
    return sort_frames(keypoint_files.read(path), path)


def sort_frames(poses: list[Pose], path: object) -> list[Pose]:
    """The poses of one motion in the order of their frames.

    Args:
      poses: poses in any order.
      path: what error messages call the file that the poses are of.

    Raises:
      UserError: there are none or too many, or two of one frame.
    """
    if not 1 <= len(poses) <= MOST_FRAMES:
        raise UserError(f"{path} has {len(poses)} poses; a motion has 1 to {MOST_FRAMES:,}.")
    numbers = [pose.frame for pose in poses]
    # Without numbers, the order of the file is that of time.
    if not any(numbers):
        return poses
    # A detector that sees two persons writes two poses of one frame.
    if len(set(numbers)) < len(numbers):
        raise UserError(f"{path} has several poses of one frame; a motion is of one person.")
    return sorted(poses, key=lambda pose: pose.frame)
