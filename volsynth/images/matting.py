"""A person cut from the known background of a generated picture, with soft edges."""

from collections.abc import Sequence

import numpy as np
import scipy.ndimage
from jaxtyping import Float, UInt8

NEAR = 1 / 24
"""The largest distance of mixtures with the background from pure colours, in sides of the image."""

CLEANEST = 0.08
"""The excess of the background's hue that a pure colour may have over the cleanest around it."""

IN_LINE, OFF_LINE = 0.3, 0.55
"""The distances of a pixel off the line from the background's colour to the nearest pure colour, as
shares of its distance from the background: up to the first it is a mixture of the two; from the
second on it is a colour of its own, such as that of purple clothes."""

FAINT = 0.4
"""The coverage up to which too little of a pixel's own colour is left to be told."""

HAZE = 0.06
"""The distance from 0 or 1 at which a coverage counts as that: networks paint no exact colours."""


def extract_foreground(
    image: UInt8[np.ndarray, "S S 3"], background: Sequence[int]
) -> Float[np.ndarray, "S S 4"]:
    """Separates a picture's foreground from a background of one colour.

    A pixel at an edge is taken for a mixture of the background with the nearest pure colour: one
    that has less of the background's hue than any around it. It gets that colour, and its share of
    it as coverage.

    Args:
      image: picture on the background, whose edges are mixtures with it.
      background: colour of the background, every channel 0 or 255, not all of them alike.

    Returns:
      colours multiplied by their coverage, and the coverage; all in [0, 1].
    """
    levels = image.astype(np.float32) / 255
    behind = np.array(background, np.float32) / 255
    excess = _excess(levels, behind)
    reach = max(round(NEAR * len(image)), 2)
    least = scipy.ndimage.minimum_filter(excess, 2 * reach + 1)
    # Without the second condition the middle of the background, all alike, would be pure, too.
    pure = (excess <= least + CLEANEST) & (excess < 0.5)
    if not pure.any():
        return np.zeros((*excess.shape, 4), np.float32)
    nearest = scipy.ndimage.distance_transform_edt(
        ~pure, return_distances=False, return_indices=True
    )
    colour = levels[tuple(nearest)]
    share, own = _shares(levels - behind, colour - behind)
    share = np.where(pure, 1, share + own * (1 - share))
    # The background's part of a pixel is known and taken out; the fainter a pixel, the more does
    # this enlarge noise, so faint ones keep the nearest pure colour.
    unmixed = np.clip(behind + (levels - behind) / np.maximum(share, FAINT)[..., None], 0, 1)
    colour += np.clip((share - FAINT) / (1 - FAINT), 0, 1)[..., None] * (unmixed - colour)
    # An edge has no more of the background's hue than the cleanest pixel around it; what is left of
    # it would be seen as a magenta rim.
    spilt = np.maximum(_excess(colour, behind) - least - 0.01, 0) * (1 - own)
    colour = np.maximum(colour - spilt[..., None] * behind, 0)
    coverage = np.clip((share - HAZE) / (1 - 2 * HAZE), 0, 1)[..., None]
    return np.concatenate([colour * coverage, coverage], -1)


def _shares(away, whole):
    """The share of a pure colour in each pixel, and the degree to which it is a colour of its own.

    Args:
      away: the pixels' colours, from that of the background.
      whole: the nearest pure colours, from that of the background.
    """
    length = np.linalg.norm(away, axis=-1)
    # The projection on the line from the background's colour to the pure one.
    share = np.sum(away * whole, axis=-1) / np.sum(whole * whole, axis=-1)
    off = np.linalg.norm(away - share[..., None] * whole, axis=-1) / np.maximum(length, 1e-6)
    # Near to the background's colour, directions are noise: nothing is a colour of its own there.
    own = np.clip((off - IN_LINE) / (OFF_LINE - IN_LINE), 0, 1) * (length > 0.5)
    return share, own


def _excess(levels, background):
    """The excess of the background's bright channels over its dark ones; 0 to 1."""
    bright = background > 0.5
    excess = levels[..., bright].min(axis=-1) - levels[..., ~bright].max(axis=-1)
    return np.maximum(excess, 0)
