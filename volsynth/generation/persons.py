"""A person in a user's picture, and the poses wanted of this person, as a model takes them.

The background is removed and a square around the person is cut out, as in prepared data sets
(Knoche 2019, section 4.1), and the joints follow it. Wanted poses get the person's size and limb
lengths, are put where the person stands, and get a square of their own.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8

from volsynth.errors import UserError
from volsynth.generation.bodies import errors_naming, to_body
from volsynth.generation.pictures import Picture
from volsynth.images import cropping
from volsynth.poses import retargeting
from volsynth.poses.keypoint_files import Pose
from volsynth.poses.retargeting import Body
from volsynth.skeleton import HIPS, INDEX

_EDGE = 0.02
"""The height of a picture's lower edge, as a share of the picture's."""

Side = int | Callable[[float], int]
"""The side of a model's images in pixels, or what chooses it by the square's own side."""


@dataclasses.dataclass(frozen=True)
class Crop:
    """A square of a picture, and the size that it is scaled to.

    Attributes:
      corner: top left corner (x, y), in pixels of the picture; it may lie outside.
      extent: length of the square's side, in pixels of the picture.
      side: length of its side after scaling, in pixels.
    """

    corner: Float[np.ndarray, "2"]
    extent: float
    side: int

    def joints(self, body: Body) -> Float[np.ndarray, "15 3"]:
        """A body's joints in pixels of the scaled square, zero where they are not known.

        Depth is measured so that its mean over the known joints is half of the side.
        """
        scale = self.side / self.extent
        # Models see depth relative to the person: how far away the camera is does not count.
        depth = body.joints[:, 2] - body.joints[body.visible, 2].mean()
        x_and_y = (body.joints[:, :2] - self.corner) * scale
        joints = np.column_stack([x_and_y, depth * scale + self.side / 2])
        # Zero, as joints that are not known are stored in prepared data.
        return np.where(body.visible[:, None], joints, 0).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Person:
    """A person as a model's source.

    Attributes:
      image: the square around the person, on magenta.
      crop: place of that square in the picture.
      body: the person's pose, in pixels of the picture.
      frame: height and width of the picture.
      cut_off: whether the person goes on below the picture.
      picture: the decoded picture that the square was cut from; None if it is not kept, because
        nobody will ask for the picture's own background.
      also: the same person in a further picture, at the same size; None if there is none.
    """

    image: UInt8[np.ndarray, "S S 3"]
    crop: Crop
    body: Body
    frame: tuple[int, int]
    cut_off: bool = False
    picture: Picture | None = None
    also: "Person | None" = None

    @property
    def joints(self) -> Float[np.ndarray, "15 3"]:
        """The person's joints in pixels of the image."""
        return self.crop.joints(self.body)


def crop_person(
    image: UInt8[np.ndarray, "H W 3"], mask: Bool[np.ndarray, "H W"], pose: Pose, side: Side
) -> Person:
    """Cuts a person out of a picture at a model's size.

    Args:
      image: the picture.
      mask: where the person is.
      pose: the person's pose, in pixels of the picture.
      side: side of the model's images, in pixels; or the function that chooses it by the length of
        the person's square in pixels of the picture.

    Raises:
      UserError: the pose has no pixels, lies outside of the picture or off the mask, or too few of
        its joints are known.
    """
    if pose.joints_px is None:
        raise UserError(
            f"{pose.where} has no joints_px: where the person is in the picture, which files of "
            "wanted poses do not say. Leave it out, so that the joints are found, or place them "
            "with volsynth studio and save them there."
        )
    body = to_body(pose)
    with errors_naming(pose):
        # Asked for here so that the message names the file of the source and not that of a target.
        retargeting.body_size(body)
    if not body.visible[list(HIPS)].any():
        # Without hips there is no trunk, and models fill it with nothing that the picture shows.
        raise UserError(
            f"{pose.where}: neither hip is known, so that there is no trunk to show. Give a "
            "picture that shows the person from the head to the hips at least."
        )
    px = body.joints[body.visible, :2]
    # Joints of another picture, or of one before it was scaled, would be cropped without a word.
    _check_inside(px, mask.shape, pose)
    near = cropping.near_joints(mask, px)
    if not near.any():
        raise UserError(f"{pose.where}: the person's mask holds nothing near the joints.")
    # Around the joints, too: a mask may miss a hand, but a joint must be inside of the image.
    corner, extent = cropping.square_around_mask(near, px)
    crop = Crop(corner, extent, side if isinstance(side, int) else side(extent))
    cut, _ = cropping.cut_out(image, near, crop.corner, crop.extent, crop.side)
    return Person(cut, crop, body, mask.shape, _is_cut_off(near, body))


def _is_cut_off(mask, body):
    """Whether a person's mask reaches the picture's lower edge, and no ankle is known."""
    ankles = [INDEX["right_ankle"], INDEX["left_ankle"]]
    # Masks that are found end a little before the picture does.
    edge = math.ceil(_EDGE * len(mask))
    return bool(mask[-edge:].any() and not body.visible[ankles].any())


def _check_inside(px, size, pose):
    """Raises UserError if joints lie outside of a picture of this size (height, width)."""
    height, width = size
    outside = ~np.all((px >= 0) & (px <= (width, height)), axis=1)
    if outside.any():
        x, y = px[outside][0]
        raise UserError(
            f"{pose.where}: {outside.sum()} joints lie outside of the picture of {width} x "
            f"{height} pixels, such as one at ({x:.0f}, {y:.0f}). Give joints in pixels of this "
            "picture, and null for those that it does not show."
        )


def fit_poses(poses: Sequence[Pose], person: Person, turn: float = 0.0) -> tuple[list[Body], Crop]:
    """Gives poses the person's size, limb lengths and place in the picture.

    Of a person whom the picture cuts off, as a half-length portrait does, only that is shown: knees
    and ankles that are known on neither side are not known in the poses either.

    All poses are taken to be of one body, as the frames of a motion are: they are scaled and moved
    alike.

    Args:
      poses: a single pose, or those of a motion.
      person: whom the poses are for.
      turn: angle in degrees by which poses are turned about the vertical axis, to the person's
        left.

    Returns:
      the bodies, in pixels of the person's picture, and the square around all of them.

    Raises:
      UserError: their size cannot be told, or one without depth is turned, or the angle is none.
    """
    if not math.isfinite(turn):
        raise UserError(f"--turn must be a number of degrees, got {turn}.")
    bodies, sizes = _measure(poses, turn)
    # One size for all poses: measured pose by pose, a person would grow and shrink in a clip.
    own = retargeting.common_size(sizes, any(body.flat for body in bodies))
    bodies = [retargeting.retarget(body, person.body, own) for body in bodies]
    size = retargeting.body_size(person.body)
    place = retargeting.standing_offset
    if person.cut_off:
        bodies = [retargeting.end_legs(body, person.body) for body in bodies]
        place = retargeting.cut_off_offset
    offset = place(bodies, person.body, size, person.frame)
    bodies = [body._replace(joints=body.joints + np.append(offset, 0.0)) for body in bodies]
    # One square for all, so that the camera stands still in a clip.
    box = retargeting.bounding_box(bodies, size)
    return bodies, Crop(*cropping.square_around_box(*box), person.crop.side)


def _measure(poses, turn):
    """The turned bodies of poses, and the sizes of those that show enough to tell it."""
    bodies, sizes = [], []
    for pose in poses:
        with errors_naming(pose):
            bodies.append(retargeting.turn_body(to_body(pose), turn))
            try:
                sizes.append(retargeting.body_size(bodies[-1]))
            except retargeting.TooLittleError as error:
                too_little = pose, error
    # A frame that shows too little has the size of the others; only if there are none is it wrong.
    if not sizes:
        pose, error = too_little
        with errors_naming(pose):
            raise error
    return bodies, sizes
