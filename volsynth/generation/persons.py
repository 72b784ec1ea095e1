"""A person in a picture of one's own, and the poses wanted of them, as a model takes them.

The picture's background goes, a square around the person is cut out, as in prepared data sets
(seed 000, section 4.1), and joints follow it. Wanted poses are given the person's size and limbs,
put where the person stands, and get a square of their own.
"""

import dataclasses
import math
import os
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8

from volsynth import conventions
from volsynth.errors import UserError
from volsynth.export import exported_model
from volsynth.files import File
from volsynth.images import cropping, masks, reader
from volsynth.ops import geometry
from volsynth.poses import joint_orders, keypoint_files, pose_library, retargeting
from volsynth.poses.keypoint_files import Pose
from volsynth.poses.retargeting import Body
from volsynth.skeleton import HIPS

FEWEST_PIXELS = 16
"""A person whose larger side is smaller in the picture cannot be made out."""

MOST_LOOKS = 5
"""Of an estimator at one picture, each without what of the mask was far from the joints found."""

_OPAQUE = 128

_BLACK, _MOST_BETWEEN = 48, 0.2
"""Levels near enough to 0 or 255 to be meant so, and the share of a mask that may be others."""

_MOST_BORDER = 0.9
"""Of a picture's border, as a share, that a person can cover."""


@dataclasses.dataclass(frozen=True)
class Square:
    """A square of a frame.

    Attributes:
      corner: its top left corner (x, y), pixels of the frame.
      extent: its side, pixels of the frame.
      side: that it is scaled to.
    """

    corner: Float[np.ndarray, "2"]
    extent: float
    side: int

    def joints(self, body: Body) -> Float[np.ndarray, "15 3"]:
        """A body's joints in pixels of the scaled square; the mean depth is the middle's."""
        scale = self.side / self.extent
        depth = body.joints[:, 2] - body.joints[body.visible, 2].mean()
        x_and_y = (body.joints[:, :2] - self.corner) * scale
        joints = np.column_stack([x_and_y, depth * scale + self.side / 2])
        return np.where(body.visible[:, None], joints, 0).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Person:
    """A person as a source.

    Attributes:
      image: square, on magenta.
      square: that it is of.
      body: the pose, pixels of the frame.
      frame: height and width of the picture.
    """

    image: UInt8[np.ndarray, "S S 3"]
    square: Square
    body: Body
    frame: tuple[int, int]

    @property
    def joints(self) -> Float[np.ndarray, "15 3"]:
        """In pixels of the image."""
        return self.square.joints(self.body)


def read_picture(
    path: File, mask: File | None = None
) -> tuple[UInt8[np.ndarray, "H W 3"], Bool[np.ndarray, "H W"]]:
    """A picture, and where in it the person is.

    The mask is that of the file, or else what is neither transparent nor magenta.

    Raises:
      UserError: a file cannot be read, sizes differ, the person is tiny or not there, or nothing
        tells person and background apart.
    """
    picture = reader.read_rgba(path)
    found = given_mask(picture.shape[:2], mask) if mask is not None else own_mask(picture, path)
    if found is None:
        raise UserError(
            f"{path}: its background was not removed: its border is neither transparent nor "
            "magenta. Give --mask FILE, white where the person is, or a PNG with a transparent "
            "background, or a picture on magenta (255, 0, 255)."
        )
    return np.ascontiguousarray(picture[..., :3]), found


def given_mask(size: tuple[int, int], mask: File) -> Bool[np.ndarray, "H W"]:
    """Where the person is in a picture of a size (height, width), by a file of its own.

    It marks what is opaque if anything is transparent in it, else what is white.

    Raises:
      UserError: the file cannot be read, has another size, is no mask, or the person is tiny, not
        there or all around.
    """
    picture = reader.read_rgba(mask)
    if picture.shape[:2] != tuple(size):
        sizes = " and ".join(f"{w} x {h}" for h, w in (size, picture.shape[:2]))
        raise UserError(f"the picture and {mask} must have one size, got {sizes}.")
    levels = picture[..., 3] if has_holes(picture) else picture[..., :3].mean(axis=-1)
    between = np.mean((levels > _BLACK) & (levels < 255 - _BLACK))
    if between > _MOST_BETWEEN:
        raise UserError(
            f"{mask} is no mask: {between:.0%} of it is neither black nor white. Give a picture "
            "that is white where the person is and black elsewhere."
        )
    found = _with_somebody(levels >= _OPAQUE, mask)
    if _is_all_around(found):
        raise UserError(
            f"{mask}: nearly all of its border is white. Give a mask that is white where the "
            "person is and black elsewhere."
        )
    return found


def own_mask(picture: UInt8[np.ndarray, "H W 4"], name: object) -> Bool[np.ndarray, "H W"] | None:
    """Where the person is: what is neither transparent nor magenta; None where that is no person.

    Raises:
      UserError: the person is tiny or not there; the line begins with `name`.
    """
    image, found = picture[..., :3], picture[..., 3] >= _OPAQUE
    if masks.is_on_magenta(image):
        found &= masks.not_magenta(image)
    return None if _is_all_around(found) else _with_somebody(found, name)


def _is_all_around(mask):
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return np.mean(border) > _MOST_BORDER


def _with_somebody(mask, name):
    if not mask.any():
        raise UserError(f"{name}: there is nobody: all of it is background.")
    if (size := cropping.square(mask)[1] * (1 - 2 * cropping.MARGIN)) < FEWEST_PIXELS:
        raise UserError(
            f"{name}: the person is {size:.0f} pixels large; at least {FEWEST_PIXELS} are needed."
        )
    return mask


def has_holes(picture: UInt8[np.ndarray, "H W 4"]) -> bool:
    """Whether the alpha channel tells the background."""
    return bool(np.any(picture[..., 3] < _OPAQUE))


def person(
    image: UInt8[np.ndarray, "H W 3"], mask: Bool[np.ndarray, "H W"], pose: Pose, side: int
) -> Person:
    """A person of a picture, cut out at a model's size.

    Raises:
      UserError: the pose has no pixels, lies outside of the picture or off the mask, or too few of
        its joints are known.
    """
    if pose.joints_px is None:
        raise UserError(
            f"{pose.where} has no joints_px: where the person is in the picture, which files of "
            "wanted poses do not say. Place the joints with volsynth studio and save them there, "
            "or give --estimator."
        )
    body = body_of(pose)
    with _about(pose):
        retargeting.size(body)
    px = body.joints[body.visible, :2]
    height, width = mask.shape
    outside = ~np.all((px >= 0) & (px <= (width, height)), axis=1)
    if outside.any():
        x, y = px[outside][0]
        raise UserError(
            f"{pose.where}: {outside.sum()} joints lie outside of the picture of {width} x "
            f"{height} pixels, such as one at ({x:.0f}, {y:.0f}). Give joints in pixels of this "
            "picture, and null for those that it does not show."
        )
    near = cropping.near(mask, px)
    if not near.any():
        raise UserError(f"{pose.where}: the person's mask holds nothing near the joints.")
    square = Square(*cropping.square(near, px), side)
    cut, _ = cropping.cut_out(image, near, square.corner, square.extent, side)
    return Person(cut, square, body, mask.shape)


def body_of(pose: Pose) -> Body:
    """A pose as a body: in pixels, in depth too, or in mm where it has no pixels.

    Raises:
      UserError: its joints in pixels and in mm do not belong together, or none is known.
    """
    pose = keypoint_files.to_ours(pose)
    px, mm, visible = pose.joints_px, pose.joints_mm, pose.visible
    if visible.sum() < 2:
        raise UserError(f"{pose.where}: {visible.sum()} joints are known; 2 are needed at least.")
    if mm is None:
        return Body(np.column_stack([px, np.zeros(len(px))]).astype(float), visible, True)
    if px is None:
        return Body(np.array(mm, float), visible, _is_flat(mm, visible))
    px, mm = np.array(px, float), np.array(mm, float)
    if pose.intrinsics is not None and np.all(mm[visible, 2] > 0):
        joints = geometry.image_pose(px, mm, visible, pose.intrinsics, 0.0)
    else:
        # Without a camera, all of the person is taken to be at one distance.
        centred = mm - mm[visible].mean(axis=0)
        away = (px - px[visible].mean(axis=0))[visible]
        spread = np.sum(centred[visible, :2] ** 2)
        scale = np.sum(centred[visible, :2] * away) / max(spread, 1e-9)
        if scale <= 0:
            raise UserError(f"{pose.where}: joints_px and joints_mm are of different poses.")
        joints = np.column_stack([px, centred[:, 2] * scale])
    return Body(joints, visible, _is_flat(mm, visible))


def _is_flat(mm, visible):
    return bool(np.ptp(mm[visible, 2]) == 0)


class _about:
    """Puts a pose's file and entry before what is wrong with it."""

    def __init__(self, pose: Pose):
        self.where = pose.where

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, UserError) and self.where:
            raise UserError(f"{self.where}: {error}") from error


def stage(poses: Sequence[Pose], who: Person, turn: float = 0.0) -> tuple[list[Body], Square]:
    """Poses for a person, in pixels of the person's frame, and the square around all of them.

    They are given the person's size and limbs, and put where the person stands. Those of a motion
    are of one body, and scaled and moved alike.

    Args:
      poses: one, or those of a motion.
      who: the person.
      turn: degrees about the vertical axis, to the person's left.

    Raises:
      UserError: their size cannot be told, or one without depth is turned, or the angle is none.
    """
    if not math.isfinite(turn):
        raise UserError(f"--turn must be a number of degrees, got {turn}.")
    bodies, sizes = [], []
    for pose in poses:
        with _about(pose):
            bodies.append(retargeting.turned(body_of(pose), turn))
            try:
                sizes.append(retargeting.size(bodies[-1]))
            except retargeting.TooLittleError as error:
                too_little = pose, error
    # A frame that shows little has the size of the others.
    if not sizes:
        pose, error = too_little
        with _about(pose):
            raise error
    own = retargeting.common_size(sizes, any(body.flat for body in bodies))
    bodies = [retargeting.retarget(body, who.body, own) for body in bodies]
    size = retargeting.size(who.body)
    shift = np.append(retargeting.stand(bodies, who.body, size, who.frame), 0.0)
    bodies = [body._replace(joints=body.joints + shift) for body in bodies]
    return bodies, Square(*cropping.around(*retargeting.box(bodies, size)), who.square.side)


def pose_of(path: str | os.PathLike[str], picture: str | os.PathLike[str]) -> Pose:
    """The pose of a picture in a file of poses: its only one, or the one of a picture so called.

    Raises:
      UserError: the file cannot be read, or has no pose or several for that name.
    """
    poses = keypoint_files.read(path)
    picture = pathlib.Path(picture)
    if len(poses) != 1:
        names = (picture.name, picture.stem)
        found = [pose for pose in poses if pathlib.PurePosixPath(pose.image).name in names]
        if len(found) != 1:
            raise UserError(
                f"{path} has {len(poses)} poses, {len(found)} of them of an image "
                f"{picture.name}; one is needed."
            )
        poses = found
    return poses[0]


def guess(mask: Bool[np.ndarray, "H W"], name: str) -> Pose:
    """A standing figure as high as the person of a picture, for somebody to correct.

    Args:
      mask: of the person.
      name: of the picture.

    Returns:
      pixels of the picture, all of them in it, and mm from the pelvis.
    """
    body = body_of(pose_library.named_pose("standing"))
    low, high = retargeting.box([body], retargeting.size(body))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    scale = (rows[-1] + 1 - rows[0]) / (high[1] - low[1])
    middle = (columns[0] + columns[-1] + 1) / 2
    px = (body.joints[:, :2] - low) * scale + (0, rows[0])
    px[:, 0] += middle - (px[:, 0].min() + px[:, 0].max()) / 2
    mm = body.joints - body.joints[list(HIPS)].mean(axis=0)
    height, width = mask.shape
    return Pose(
        joint_orders.OURS, body.visible, np.clip(px, 0, (width, height)), mm, image=name, where=name
    )


def load_generator(
    path: str | os.PathLike[str], program: bool | None = None
) -> exported_model.Model:
    """An exported model that makes pictures.

    Raises:
      UserError: it makes none, or `exported.load` raises.
    """
    model = exported_model.load(path, program)
    if model.task == "pose":
        raise UserError(f"{path} finds poses and makes no pictures; give it as --estimator.")
    return model


def load_estimator(path: str | os.PathLike[str]) -> exported_model.Model:
    """An exported model that finds poses.

    Raises:
      UserError: it finds none, or `exported.load` raises.
    """
    model = exported_model.load(path)
    if model.task != "pose":
        raise UserError(f"{path} makes pictures and finds no poses; give an exported estimator.")
    return model


def estimate(
    model: exported_model.Model,
    image: UInt8[np.ndarray, "H W 3"],
    mask: Bool[np.ndarray, "H W"],
    name: str = "",
) -> Pose:
    """The pose of the person in a picture: pixels of the picture, and mm from the pelvis.

    As in prepared data sets, what of the mask is far from the joints is not the person. Joints are
    known only when it was looked at; so without that the model looks again, `MOST_LOOKS` times.

    Args:
      model: of `load_estimator`.
      image: the picture.
      mask: of the person.
      name: of the picture, for files of poses and messages.
    """
    for _ in range(MOST_LOOKS):
        square = Square(*cropping.square(mask), model.image_size)
        cut, _ = cropping.cut_out(image, mask, square.corner, square.extent, square.side)
        found = model(conventions.to_float(cut)[None])
        px = np.asarray(found["joints_px"][0], float) * square.extent / square.side + square.corner
        # Specks far from the person make the square large and the person small in it.
        near = cropping.near(mask, px)
        if not near.any() or np.array_equal(near, mask):
            break
        mask = near
    mm = np.asarray(found["joints_mm"][0], float)
    return Pose(joint_orders.OURS, np.ones(len(px), bool), px, mm, image=name, where=name)
