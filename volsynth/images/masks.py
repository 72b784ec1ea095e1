"""Masks of persons in pictures that come without one, told from the colour of the background."""

import numpy as np
import scipy.ndimage
from jaxtyping import Bool, UInt8

from volsynth.conventions import MAGENTA

MAGENTA_WITHIN = 40
"""The largest difference from magenta, in levels of any channel, at which a pixel counts as
background: JPEG compression moves colours."""

PLAIN_WITHIN = 24
"""The largest difference, in levels of any channel, between a pixel of a plain background and its
most frequent colour."""

_BORDER = 0.9
"""The least share of the border that is magenta in a picture on magenta; persons cover the rest."""


def not_magenta(image: UInt8[np.ndarray, "H W 3"]) -> Bool[np.ndarray, "H W"]:
    """A mask of all pixels whose colour is not the magenta background of prepared images."""
    return ~_near(image, np.array(MAGENTA), MAGENTA_WITHIN)


def is_on_magenta(image: UInt8[np.ndarray, "H W 3"]) -> bool:
    """Whether nearly all of the image's border is magenta."""
    return bool(np.mean(~_border(not_magenta(image))) >= _BORDER)


def not_plain(image: UInt8[np.ndarray, "H W 3"]) -> Bool[np.ndarray, "H W"]:
    """A mask of all pixels that are not joined to the border by pixels of the border's own colour.

    Clothes of the background's colour stay in the mask where something else is around them, and are
    lost where nothing is.
    """
    # The median ignores the few pixels of the border that a person covers.
    colour = np.median(_border(image), axis=0)
    near = _near(image, colour, PLAIN_WITHIN)
    regions, _ = scipy.ndimage.label(near)
    outside = np.unique(_border(regions))
    # Label 0 is not a region but all that differs from the colour.
    return ~np.isin(regions, outside[outside > 0])


def _near(image, colour, within):
    # Differences of uint8 would wrap around.
    return np.all(np.abs(image.astype(np.int16) - np.round(colour).astype(np.int16)) <= within, -1)


def _border(image):
    """The pixels of the border, [N, ...]; the corners twice."""
    return np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
