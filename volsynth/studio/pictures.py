"""Pictures that visitors bring: reading them, suggesting a pose, and showing them.

Whatever is wrong with a picture is a `UserError` that may be told to its visitor: it names no file
of this machine.
"""

import dataclasses
import io
from typing import Literal

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from volsynth.export import exported_model
from volsynth.files import InMemory
from volsynth.generation import estimation, finding
from volsynth.generation.pictures import mask_from_background, read_mask
from volsynth.images import reader
from volsynth.photographs import persons
from volsynth.poses.keypoint_files import Pose

PREVIEW_SIDE = 1024
"""The most pixels that the larger side of a picture has when the page shows it."""

_BACKGROUND_CONTRAST = 0.25
"""The share of a background's own contrast that is left in a preview, before light grey."""

_LIGHT_GREY = 225


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture that a visitor brought.

    Attributes:
      image: The pixels.
      mask: Which pixels show the person; None while that is not known.
      pose: A suggested pose, in pixels and in mm from the pelvis; None without a mask. Joints that
        are not visible have places in the picture, too.
      pose_source: Whether an exported estimator found the pose or the package's own networks did,
        or it is a standing figure.
    """

    image: UInt8[np.ndarray, "H W 3"]
    mask: Bool[np.ndarray, "H W"] | None
    pose: Pose | None = None
    pose_source: Literal["estimator", "networks", "guess"] = "guess"

    @property
    def nbytes(self) -> int:
        """The bytes of memory that the picture takes."""
        return self.image.nbytes + (0 if self.mask is None else self.mask.nbytes)


def read_picture(content: bytes, estimator: exported_model.Model | None) -> Picture:
    """Reads a picture, finds its person and suggests a pose.

    Args:
      content: the bytes of a picture file.
      estimator: finds the pose; None for the package's own networks, or a standing figure where
        these find nobody.

    Raises:
      UserError: the bytes are no picture, or its person is tiny or not there.
    """
    file = InMemory("the picture", content)
    picture = reader.read_rgba(file)
    # Files keep colours under transparent pixels, which nobody has ever seen: they are no
    # background to show.
    image = np.where(picture[..., 3:] == 0, np.uint8(_LIGHT_GREY), picture[..., :3])
    return _with_suggested_pose(image, mask_from_background(picture, file), estimator)


def with_mask(picture: Picture, content: bytes, estimator: exported_model.Model | None) -> Picture:
    """The same picture with a mask, and with the pose that follows from it.

    Args:
      picture: the picture.
      content: the bytes of the mask's file.
      estimator: as in `read_picture`.

    Raises:
      UserError: the mask is no picture, has another size, or its person is tiny or not there.
    """
    mask = read_mask(picture.image.shape[:2], InMemory("the mask", content))
    return _with_suggested_pose(picture.image, mask, estimator)


def _with_suggested_pose(image, mask, estimator):
    name, found = "the picture", None
    if mask is None or estimator is None:
        found = persons.find_person(finding.masked(image, mask))
    if mask is None:
        if found is None:
            # Without a mask nothing tells where the person stands or how large it is.
            return Picture(image, None)
        mask = found.mask >= finding.MASK_EDGE
    if estimator is None and found is None:
        return Picture(image, mask, estimation.guess_pose(mask, name))
    if estimator is None:
        pose, pose_source = found.pose(name), "networks"
    else:
        pose, pose_source = estimation.estimate_pose(estimator, image, mask, name), "estimator"
    height, width = mask.shape
    # Networks may put a joint beyond the edge, where nobody can take hold of it.
    inside = np.clip(pose.joints_px, 0, (width, height))
    return Picture(image, mask, dataclasses.replace(pose, joints_px=inside), pose_source)


def preview(picture: Picture) -> UInt8[np.ndarray, "H W 3"]:
    """The picture at most `PREVIEW_SIDE` pixels large, its background pale where it is known."""
    height, width = picture.image.shape[:2]
    scale = min(PREVIEW_SIDE / max(height, width), 1.0)
    # A long and narrow picture would else have no row, or no column, left.
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    # Means over areas: other filters overshoot, which would show as a halo along the mask.
    image = Image.fromarray(picture.image).resize(size, Image.Resampling.BOX)
    if picture.mask is None:
        return np.asarray(image)
    mask = Image.fromarray(picture.mask).convert("L").resize(size, Image.Resampling.BOX)
    grey = np.asarray(image.convert("L"), np.float32)[..., None]
    pale = _BACKGROUND_CONTRAST * grey + (1 - _BACKGROUND_CONTRAST) * _LIGHT_GREY
    # A pixel of a smaller picture shows the person in part.
    share = np.asarray(mask, np.float32)[..., None] / 255
    return np.rint(share * np.asarray(image) + (1 - share) * pale).astype(np.uint8)


def encode_png(image: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """A picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    # The least compression: most pages run on the server's own machine, where time to compress
    # counts and bytes do not.
    Image.fromarray(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
