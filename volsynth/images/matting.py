"""A person cut from the known background of a generated picture, with soft edges."""

from collections.abc import Sequence

import numpy as np
import scipy.ndimage
from jaxtyping import Float, UInt8

NEAR = 1 / 24
"""How far, as a share of the image's side, mixtures with the background are from pure colours."""

CLEANEST = 0.08
"""By how much less than the cleanest around it a pure colour is off the background."""

IN_LINE, OFF_LINE = 0.3, 0.55
"""A mixture lies on the line from the background's colour to a pure one; what is off it by a larger
share of its distance is a colour of its own, such as that of purple clothes."""

FAINT = 0.4
"""Coverage up to here leaves nothing of a pixel's own colour."""

HAZE = 0.06
"""Coverage up to here is none, and as near to one it is whole: networks paint no exact colours."""


def cut(image: UInt8[np.ndarray, "S S 3"], background: Sequence[int]) -> Float[np.ndarray, "S S 4"]:
    """What is not background: colours times their coverage, and the coverage; all in [0, 1].

    A pixel at an edge is taken for a mixture of the background with the nearest colour that has
    less of the background than any around it, and gets that colour.

    Args:
      image: on the background, whose edges are mixtures with it.
      background: its colour, every channel 0 or 255, not all of them alike.
    """
    levels = image.astype(np.float32) / 255
    behind = np.array(background, np.float32) / 255
    excess = _excess(levels, behind)
    reach = max(round(NEAR * len(image)), 2)
    least = scipy.ndimage.minimum_filter(excess, 2 * reach + 1)
    pure = (excess <= least + CLEANEST) & (excess < 0.5)
    if not pure.any():
        return np.zeros((*excess.shape, 4), np.float32)
    nearest = scipy.ndimage.distance_transform_edt(
        ~pure, return_distances=False, return_indices=True
    )
    colour = levels[tuple(nearest)]
    away, whole = levels - behind, colour - behind
    length = np.linalg.norm(away, axis=-1)
    share = np.sum(away * whole, axis=-1) / np.sum(whole * whole, axis=-1)
    off = np.linalg.norm(away - share[..., None] * whole, axis=-1) / np.maximum(length, 1e-6)
    own = np.clip((off - IN_LINE) / (OFF_LINE - IN_LINE), 0, 1) * (length > 0.5)
    share = np.where(pure, 1, share + own * (1 - share))
    # What the background adds to a pixel is known; too little of faint ones is left to see colours.
    unmixed = np.clip(behind + away / np.maximum(share, FAINT)[..., None], 0, 1)
    colour += np.clip((share - FAINT) / (1 - FAINT), 0, 1)[..., None] * (unmixed - colour)
    # No more of the background's hue than is around it.
    spilt = np.maximum(_excess(colour, behind) - least - 0.01, 0) * (1 - own)
    colour = np.maximum(colour - spilt[..., None] * behind, 0)
    coverage = np.clip((share - HAZE) / (1 - 2 * HAZE), 0, 1)[..., None]
    return np.concatenate([colour * coverage, coverage], -1)


def _excess(levels, background):
    """By how much the background's bright channels stand out from its dark ones; 0 to 1."""
    bright = background > 0.5
    excess = levels[..., bright].min(axis=-1) - levels[..., ~bright].max(axis=-1)
    return np.maximum(excess, 0)
