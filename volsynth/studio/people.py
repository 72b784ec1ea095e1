"""Pictures and poses that visitors bring, as the page and the model take them.

Whatever is wrong with them is a `UserError` that can be told to whoever sent them: it names no
file of this machine.
"""

import dataclasses
import functools
import io
import pathlib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from volsynth.errors import UserError
from volsynth.export import exported_model
from volsynth.files import InMemory
from volsynth.generation import estimation, motions, persons, pictures
from volsynth.generation.bodies import to_body
from volsynth.generation.persons import Person
from volsynth.images import reader
from volsynth.poses import joint_orders, keypoint_files, pose_library, retargeting
from volsynth.poses.keypoint_files import Pose
from volsynth.skeleton import HIPS, NUM_JOINTS

MOST_FRAMES = 600
"""Of a motion, and poses of a file."""

SHOWN = 1024
"""Pixels of the larger side of a picture, at most, when it is shown."""

_DIMMED = 0.25
"""Of a background, beside plain light grey."""

_LIGHT = 225

Points = Sequence[Sequence[float] | None]


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture.

    Attributes:
      image: its pixels.
      mask: where the person is; None while that is not known.
      pose: a suggestion, in pixels and in mm from the pelvis; None without a mask.
      by: who suggests it.
    """

    image: UInt8[np.ndarray, "H W 3"]
    mask: Bool[np.ndarray, "H W"] | None
    pose: Pose | None = None
    by: Literal["estimator", "guess"] = "guess"

    @property
    def nbytes(self) -> int:
        """That it takes."""
        return self.image.nbytes + (0 if self.mask is None else self.mask.nbytes)


def read(content: bytes, estimator: exported_model.Model | None) -> Picture:
    """A picture from its bytes.

    Raises:
      UserError: it is none, or its person is tiny or not there.
    """
    file = InMemory("the picture", content)
    picture = reader.read_rgba(file)
    # What lies under transparent pixels is nothing that anyone has seen.
    image = np.where(picture[..., 3:] == 0, np.uint8(_LIGHT), picture[..., :3])
    return _suggested(image, pictures.mask_from_background(picture, file), estimator)


def masked(picture: Picture, content: bytes, estimator: exported_model.Model | None) -> Picture:
    """The picture with a mask from its bytes.

    Raises:
      UserError: it is no picture, of another size, or its person is tiny or not there.
    """
    mask = pictures.read_mask(picture.image.shape[:2], InMemory("the mask", content))
    return _suggested(picture.image, mask, estimator)


def _suggested(image, mask, estimator):
    if mask is None:
        return Picture(image, None)
    if estimator is None:
        return Picture(image, mask, estimation.guess_pose(mask, "the picture"))
    pose = estimation.estimate_pose(estimator, image, mask, "the picture")
    height, width = mask.shape
    # Nobody can take hold of a joint that is beyond the edge.
    inside = np.clip(pose.joints_px, 0, (width, height))
    return Picture(image, mask, dataclasses.replace(pose, joints_px=inside), "estimator")


def shown(picture: Picture) -> UInt8[np.ndarray, "H W 3"]:
    """The picture at most `SHOWN` pixels large, its background pale where it is known."""
    height, width = picture.image.shape[:2]
    scale = min(SHOWN / max(height, width), 1.0)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    image = Image.fromarray(picture.image).resize(size, Image.Resampling.BOX)
    if picture.mask is None:
        return np.asarray(image)
    kept = Image.fromarray(picture.mask).convert("L").resize(size, Image.Resampling.BOX)
    grey = np.asarray(image.convert("L"), np.float32)[..., None]
    pale = _DIMMED * grey + (1 - _DIMMED) * _LIGHT
    share = np.asarray(kept, np.float32)[..., None] / 255
    return np.rint(share * np.asarray(image) + (1 - share) * pale).astype(np.uint8)


def person(picture: Picture, px: Points, mm: Points | None, side: int) -> Person:
    """The person of a picture, by its joints, of which some may be unknown.

    Raises:
      UserError: the background is not known, or as `persons.crop_person`.
    """
    if picture.mask is None:
        raise UserError("the picture's background is not known: drop a mask, white on the person.")
    visible = np.array([point is not None for point in px])
    joints = np.array([(0, 0) if point is None else point for point in px], float)
    space = None if mm is None else np.where(visible[:, None], np.array(mm, float), 0)
    pose = Pose(joint_orders.VOLSYNTH_15, visible, joints, space, where="the pose")
    return persons.crop_person(picture.image, picture.mask, pose, side)


def told(who: Person) -> dict[str, Any]:
    """What the page is told of a person: the pose in the picture, in mm of an average adult from
    the pelvis, and the lengths of `retargeting.BONES`."""
    joints = retargeting.complete_body(who.body, _standing()) / retargeting.body_size(who.body)
    return {
        "joints_mm": rounded(from_pelvis(joints[None])[0]),
        "flat": who.body.flat,
        "bones": rounded(retargeting.bone_lengths(who.body)),
    }


def wanted(joints: Points) -> Pose:
    """A pose wanted, in mm."""
    return Pose(
        joint_orders.VOLSYNTH_15,
        np.ones(NUM_JOINTS, bool),
        None,
        np.array(joints),
        where="the pose",
    )


def read_poses(content: bytes, suffix: Literal[".json", ".csv"]) -> list[dict[str, Any]]:
    """The poses of a file, as the page takes them: in the order of their frames, and of those in
    mm all joints.

    Raises:
      UserError: it is no file of poses, or has too many or none.
    """
    name = f"poses{suffix}"
    poses = motions.sort_frames(keypoint_files.read(InMemory(name, content)), name)
    if len(poses) > MOST_FRAMES:
        raise UserError(f"the file has {len(poses)} poses; at most {MOST_FRAMES} are taken.")
    return [_as_told(pose, number) for number, pose in enumerate(poses)]


def _as_told(pose, number):
    name = pose.action or pathlib.PurePosixPath(pose.image).stem or f"pose {number}"
    pose = keypoint_files.to_skeleton(pose)
    px, mm = pose.joints_px, pose.joints_mm
    if px is not None:
        px = [point if seen else None for point, seen in zip(rounded(px), pose.visible)]
    if mm is not None:
        alone = dataclasses.replace(pose, joints_px=None, intrinsics=None)
        mm = rounded(retargeting.complete_body(to_body(alone), _standing()))
    # Text in JSON may hold halves of letters, which cannot be sent.
    name = name[:100].encode("utf-8", "replace").decode()
    return {"name": name, "joints_px": px, "joints_mm": mm}


@functools.cache
def _standing():
    return to_body(pose_library.named_pose("standing"))


def from_pelvis(joints: Float[np.ndarray, "F 15 3"]) -> Float[np.ndarray, "F 15 3"]:
    """The frames of a motion, measured from where the pelvis is in the first."""
    return joints - joints[0, list(HIPS)].mean(axis=0)


def rounded(values: np.ndarray) -> list[Any]:
    """For JSON, to a tenth."""
    return np.round(np.asarray(values, float), 1).tolist()


def png(image: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """A PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
