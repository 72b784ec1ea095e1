"""Masks of persons, for images that come without one."""

import numpy as np
import scipy.ndimage
from jaxtyping import Bool, UInt8

from volsynth.conventions import MAGENTA

MAGENTA_WITHIN = 40
"""Levels: a pixel as near to magenta in every channel is background. Compression moves colours."""

PLAIN_WITHIN = 24
"""Levels: how far a plain background may be from its most frequent colour, in every channel."""

_BORDER = 0.9


def not_magenta(image: UInt8[np.ndarray, "H W 3"]) -> Bool[np.ndarray, "H W"]:
    """Whatever has another colour than the background of prepared images."""
    return ~_near(image, np.array(MAGENTA), MAGENTA_WITHIN)


def is_on_magenta(image: UInt8[np.ndarray, "H W 3"]) -> bool:
    """Whether nearly all of the image's border is magenta."""
    return bool(np.mean(~_border(not_magenta(image))) >= _BORDER)


def not_plain(image: UInt8[np.ndarray, "H W 3"]) -> Bool[np.ndarray, "H W"]:
    """Whatever is not joined to the border through pixels of the border's own colour.

    Clothes of the background's colour stay whole where something else is around them, and are lost
    where nothing is.
    """
    colour = np.median(_border(image), axis=0)
    near = _near(image, colour, PLAIN_WITHIN)
    regions, _ = scipy.ndimage.label(near)
    outside = np.unique(_border(regions))
    return ~np.isin(regions, outside[outside > 0])


def _near(image, colour, within):
    return np.all(np.abs(image.astype(np.int16) - np.round(colour).astype(np.int16)) <= within, -1)


def _border(image):
    """The pixels of the border, [N, ...]; the corners twice."""
    return np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
