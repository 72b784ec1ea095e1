"""Persons and poses as the page sends and takes them, and as the model takes them.

Whatever is wrong with them is a `UserError` that may be told to the visitor who sent them: it names
no file of this machine.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from volsynth.errors import UserError
from volsynth.files import InMemory
from volsynth.generation import motions, persons
from volsynth.generation.bodies import to_body
from volsynth.generation.persons import Person
from volsynth.poses import joint_orders, keypoint_files, pose_library, retargeting
from volsynth.poses.keypoint_files import Pose
from volsynth.skeleton import HIPS, NUM_JOINTS
from volsynth.studio.pictures import Picture

MOST_FRAMES = 600
"""The most frames of a motion, and the most poses of a file, that the studio takes."""

_LONGEST_NAME = 100

Points = Sequence[Sequence[float] | None]
"""The coordinates of each joint; None for a joint that is not known."""


def cut_out_person(
    picture: Picture, joints_px: Points, joints_mm: Points | None, side: int
) -> Person:
    """The person of a picture, cut out at the model's size, by the joints that the page sent.

    Args:
      picture: the picture.
      joints_px: joints in pixels of the picture; None where unknown.
      joints_mm: the same joints in mm; None where no depth is known.
      side: the side of the model's images in pixels.

    Raises:
      UserError: the background of the picture is not known, or as `persons.crop_person`.
    """
    if picture.mask is None:
        raise UserError("the picture's background is not known: drop a mask, white on the person.")
    visible = np.array([point is not None for point in joints_px])
    # Unknown joints need some value, for arrays have no holes; `visible` says which do not count.
    px = np.array([(0, 0) if point is None else point for point in joints_px], float)
    mm = None if joints_mm is None else np.where(visible[:, None], np.array(joints_mm, float), 0)
    pose = Pose(joint_orders.VOLSYNTH_15, visible, px, mm, where="the pose")
    return persons.crop_person(picture.image, picture.mask, pose, side)


def describe_person(person: Person) -> dict[str, Any]:
    """A person as the page takes it.

    Returns:
      {"joints_mm": the pose in the picture, from the pelvis, in mm of an average adult, with
      unknown joints where somebody standing has them; "flat": whether the pose has no depth;
      "bones": the lengths of `retargeting.BONES` in mm}.
    """
    # In mm of an average adult, since poses of the library are: the page mixes both.
    joints = retargeting.complete_body(person.body, _standing_body()) / retargeting.body_size(
        person.body
    )
    return {
        "joints_mm": rounded(relative_to_pelvis(joints[None])[0]),
        "flat": person.body.flat,
        "bones": rounded(retargeting.bone_lengths(person.body)),
    }


def target_pose(joints_mm: Points) -> Pose:
    """A target pose by its fifteen joints in mm, all of which are known."""
    return Pose(
        joint_orders.VOLSYNTH_15,
        np.ones(NUM_JOINTS, bool),
        None,
        np.array(joints_mm),
        where="the pose",
    )


def read_poses(content: bytes, suffix: Literal[".json", ".csv"]) -> list[dict[str, Any]]:
    """Reads the poses of a file, in the order of their frames.

    Args:
      content: the bytes of the file.
      suffix: the ending of its name.

    Returns:
      For each pose {"name", "joints_px": None where it has none, "joints_mm": likewise}. Unknown
      joints are None in pixels, and in mm where somebody standing has them.

    Raises:
      UserError: it is no file of poses, or has too many or none.
    """
    name = f"poses{suffix}"
    poses = motions.sort_frames(keypoint_files.read(InMemory(name, content)), name)
    if len(poses) > MOST_FRAMES:
        raise UserError(f"the file has {len(poses)} poses; at most {MOST_FRAMES} are taken.")
    return [_describe_pose(pose, number) for number, pose in enumerate(poses)]


def _describe_pose(pose, number):
    name = pose.action or pathlib.PurePosixPath(pose.image).stem or f"pose {number}"
    pose = keypoint_files.to_skeleton(pose)
    px, mm = pose.joints_px, pose.joints_mm
    if px is not None:
        px = [point if seen else None for point, seen in zip(rounded(px), pose.visible)]
    if mm is not None:
        # With pixels, the body would be in pixels of the picture; the page wants it in mm.
        in_mm = dataclasses.replace(pose, joints_px=None, intrinsics=None)
        # Complete in mm only: there joints are a pose to drag, and the skeleton needs all of them;
        # in pixels they say what a picture shows.
        mm = rounded(retargeting.complete_body(to_body(in_mm), _standing_body()))
    # JSON may hold half of a surrogate pair, which cannot be sent as UTF-8.
    name = name[:_LONGEST_NAME].encode("utf-8", "replace").decode()
    return {"name": name, "joints_px": px, "joints_mm": mm}


@functools.cache
def _standing_body():
    return to_body(pose_library.named_pose("standing"))


def relative_to_pelvis(joints: Float[np.ndarray, "F 15 3"]) -> Float[np.ndarray, "F 15 3"]:
    """The frames of a motion, measured from the place of the pelvis in the first frame."""
    # Not from each frame's own pelvis: a motion would lose its jumps and steps.
    return joints - joints[0, list(HIPS)].mean(axis=0)


def rounded(values: np.ndarray) -> list[Any]:
    """An array as nested lists for JSON, rounded to a tenth of a pixel or of a mm."""
    return np.round(np.asarray(values, float), 1).tolist()
