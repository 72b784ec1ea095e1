"""Pictures of persons that users bring, and the masks that tell person and background apart."""

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Bool, UInt8

from volsynth.errors import UserError
from volsynth.files import File
from volsynth.images import cropping, masks, reader

FEWEST_PIXELS = 16
"""The least size of a person, the larger side in pixels of the picture, that can be made out."""

_OPAQUE = 128
"""The alpha level from which on a pixel counts as opaque."""

_BLACK, _MOST_BETWEEN = 48, 0.2
"""The distance from 0 or 255 within which levels of a mask count as black or white, and the largest
share of its pixels that may be neither."""

_MOST_BORDER = 0.9
"""The largest share of a picture's border that a person can cover."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """A decoded picture of a person, and where in it the person is.

    Attributes:
      pixels: RGB and alpha, uint8 [H, W, 4]; alpha is 255 throughout if the file has none.
      mask: True where the person is, bool [H, W]; None while that is not known.
      background: what surrounds the person: "transparent" or "magenta" where that tells person and
        background apart, else a "scene".
    """

    pixels: UInt8[np.ndarray, "H W 4"]
    mask: Bool[np.ndarray, "H W"] | None
    background: Literal["scene", "transparent", "magenta"]

    @property
    def image(self) -> UInt8[np.ndarray, "H W 3"]:
        """The picture's colours, without the alpha channel."""
        return np.ascontiguousarray(self.pixels[..., :3])


def read_picture(path: File, mask: File | None = None) -> Picture:
    """Reads a picture of a person, and the mask that a file or the picture's background gives.

    Args:
      path: the picture.
      mask: a file that marks the person, if there is one.

    Returns:
      the picture; without a mask if there is no file and its background is neither transparent nor
      magenta.

    Raises:
      UserError: a file cannot be read, sizes differ, or the person is tiny or not there.
    """
    pixels = reader.read_rgba(path)
    # A mask counts before the picture's alpha channel: whoever gives one means it.
    if mask is not None:
        return Picture(pixels, read_mask(pixels.shape[:2], mask), "scene")
    found = mask_from_background(pixels, path)
    if found is None:
        return Picture(pixels, None, "scene")
    return Picture(pixels, found, "transparent" if _has_holes(pixels) else "magenta")


def read_mask(size: tuple[int, int], mask: File) -> Bool[np.ndarray, "H W"]:
    """Reads the mask of a person from a file.

    The mask is what is opaque in the file if anything in it is transparent, else what is white.

    Args:
      size: height and width of the picture that the mask belongs to.
      mask: the file.

    Raises:
      UserError: the file cannot be read, has another size, is no mask, or the person is tiny, not
        there or all around.
    """
    picture = reader.read_rgba(mask)
    if picture.shape[:2] != tuple(size):
        sizes = " and ".join(f"{w} x {h}" for h, w in (size, picture.shape[:2]))
        raise UserError(f"the picture and {mask} must have one size, got {sizes}.")
    # Programs that cut people out save a silhouette of any colour on a transparent ground.
    levels = picture[..., 3] if _has_holes(picture) else picture[..., :3].mean(axis=-1)
    # Soft edges and compression make some greys; a photograph given by mistake is mostly grey.
    between = np.mean((levels > _BLACK) & (levels < 255 - _BLACK))
    if between > _MOST_BETWEEN:
        raise UserError(
            f"{mask} is no mask: {between:.0%} of it is neither black nor white. Give a picture "
            "that is white where the person is and black elsewhere."
        )
    found = _checked(levels >= _OPAQUE, mask)
    # A mask that is white at its border is most likely inverted.
    if _is_all_around(found):
        raise UserError(
            f"{mask}: nearly all of its border is white. Give a mask that is white where the "
            "person is and black elsewhere."
        )
    return found


def mask_from_background(
    pixels: UInt8[np.ndarray, "H W 4"], name: object
) -> Bool[np.ndarray, "H W"] | None:
    """The mask of a person whose background is transparent or magenta.

    Args:
      pixels: the decoded picture.
      name: what error messages call the picture.

    Returns:
      True where the picture is neither transparent nor magenta; None if that is nearly all of its
      border, so that the background was not removed.

    Raises:
      UserError: the person is tiny or not there.
    """
    image, found = pixels[..., :3], pixels[..., 3] >= _OPAQUE
    # A picture on magenta may have transparent holes, too; both are background then.
    if masks.is_on_magenta(image):
        found &= masks.not_magenta(image)
    return None if _is_all_around(found) else _checked(found, name)


def _is_all_around(mask):
    """Whether the mask covers more of the border than a person can."""
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return np.mean(border) > _MOST_BORDER


def _checked(mask, name):
    """The mask, unless it is empty or the person in it is tiny."""
    if not mask.any():
        raise UserError(f"{name}: there is nobody: all of it is background.")
    # The square around a mask has a margin, which is no part of the person.
    if (size := cropping.square_around_mask(mask)[1] * (1 - 2 * cropping.MARGIN)) < FEWEST_PIXELS:
        raise UserError(
            f"{name}: the person is {size:.0f} pixels large; at least {FEWEST_PIXELS} are needed."
        )
    return mask


def _has_holes(pixels):
    """Whether any pixel is transparent, so that the alpha channel tells the background."""
    return bool(np.any(pixels[..., 3] < _OPAQUE))
