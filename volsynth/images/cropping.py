"""The square around a person: cut out of a frame, on magenta, and put over one (seed 000, 4.1)."""

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from volsynth.conventions import MAGENTA

MARGIN = 0.08
"""Free border on each side of the person, as a share of the image's side."""

MOST_EXTENT = 8192
"""Pixels of the frame; larger squares are scaled down in two steps."""

REACH = 0.5
"""What of a mask is further from the joints, as a share of their extent, is not the person."""


MOST_STEEP = 2.5
"""Edges that are enlarged get narrower again, but no more than by this factor."""


def near(mask: Bool[np.ndarray, "H W"], px: Float[np.ndarray, "N 2"]) -> Bool[np.ndarray, "H W"]:
    """What of a mask is no further from the joints than `REACH` of their extent."""
    low, high = px.min(axis=0), px.max(axis=0)
    reach = REACH * np.max(high - low)
    left, top = np.maximum(np.floor(low - reach), 0).astype(int)
    right, bottom = np.maximum(np.ceil(high + reach), 0).astype(int)
    kept = np.zeros(mask.shape, bool)
    kept[top:bottom, left:right] = mask[top:bottom, left:right]
    return kept


def square(
    mask: Bool[np.ndarray, "H W"], px: Float[np.ndarray, "N 2"] | None = None
) -> tuple[Float[np.ndarray, "2"], float]:
    """The square around a mask that is not empty, and joints, with a margin.

    Returns:
      its top left corner (x, y) and its side, pixels of the frame; it may reach beyond the frame.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    low = np.array([columns[0], rows[0]], float)
    high = np.array([columns[-1] + 1, rows[-1] + 1], float)
    if px is not None:
        low, high = np.minimum(low, px.min(axis=0)), np.maximum(high, px.max(axis=0))
    return around(low, high)


def around(
    low: Float[np.ndarray, "2"], high: Float[np.ndarray, "2"]
) -> tuple[Float[np.ndarray, "2"], float]:
    """The square with a margin around a box from `low` to `high`; as `square`."""
    extent = float(np.max(high - low) / (1 - 2 * MARGIN))
    return (low + high - extent) / 2, extent


def cut_out(
    image: UInt8[np.ndarray, "H W 3"],
    mask: Bool[np.ndarray, "H W"],
    corner: Float[np.ndarray, "2"],
    extent: float,
    side: int,
) -> tuple[UInt8[np.ndarray, "side side 3"], Bool[np.ndarray, "side side"]]:
    """The square on magenta, and the person's mask in it.

    Colours are means over the person's own pixels, so nothing of any background gets into an edge.
    A pixel that is less than half covered is background.
    """
    height, width = mask.shape
    reach = _reach(extent, side)
    left, top = np.maximum(np.floor(corner).astype(int) - reach, 0)
    right, bottom = np.minimum(np.ceil(corner + extent).astype(int) + reach, (width, height))
    weight = mask[top:bottom, left:right].astype(np.float32)
    colours = image[top:bottom, left:right] * weight[..., None]
    corner = corner - (left, top)
    # The square of a person along the edge of a huge picture is larger than the picture by far.
    factor = int(np.ceil(extent / MOST_EXTENT))
    small = np.stack(
        [
            _square_of(channel, corner, extent, side, factor)
            for channel in (*np.moveaxis(colours, -1, 0), weight)
        ],
        axis=-1,
    )
    covered = small[..., 3] >= 0.5
    mean = small[..., :3] / np.maximum(small[..., 3:], 0.5)
    levels = np.round(np.clip(mean, 0, 255)).astype(np.uint8)
    return np.where(covered[..., None], levels, np.array(MAGENTA, np.uint8)), covered


def _reach(extent, side):
    """Beyond the square, how many pixels have an influence on what it is scaled to."""
    return int(np.ceil(max(extent / side, 1.0))) + 1


def _square_of(channel, corner, extent, side, factor):
    """The square of one channel, zero beyond it, scaled; first coarsely by a whole factor."""
    picture = Image.fromarray(np.ascontiguousarray(channel))
    if factor > 1:
        picture, corner, extent = picture.reduce(factor), corner / factor, extent / factor
    reach = _reach(extent, side)
    low = np.floor(corner).astype(int) - reach
    high = np.ceil(corner + extent).astype(int) + reach
    canvas = picture.crop((*low, *high))
    x, y = corner - low
    box = (x, y, x + extent, y + extent)
    # Hamming's filter has no negative values, with which means would not be means.
    return np.asarray(canvas.resize((side, side), Image.Resampling.HAMMING, box))


def paste(
    square: Float[np.ndarray, "S S 4"],
    corner: Float[np.ndarray, "2"],
    extent: float,
    frame: UInt8[np.ndarray, "H W 3"] | UInt8[np.ndarray, "H W 4"],
) -> UInt8[np.ndarray, "H W 3"] | UInt8[np.ndarray, "H W 4"]:
    """The frame with a square over it, in the place that `cut_out` would cut it out of.

    Args:
      square: colours, multiplied by their coverage, and the coverage; in [0, 1].
      corner: its top left corner (x, y) in the frame, pixels.
      extent: its side in the frame, pixels.
      frame: with or without an alpha channel; what of the square reaches beyond it is lost.
    """
    side, (height, width) = square.shape[0], frame.shape[:2]
    made = frame.copy()
    low = np.maximum(np.floor(corner), 0).astype(int)
    high = np.minimum(np.ceil(corner + extent), (width, height)).astype(int)
    if np.any(high <= low):
        return made
    # Whole pixels of the frame, of which those at the edge lie outside of the square in part.
    scale = side / extent
    border = int(np.ceil(2 * scale)) + 2
    page = np.pad(square.astype(np.float32), ((border, border), (border, border), (0, 0)))
    box = (*((low - corner) * scale + border), *((high - corner) * scale + border))
    pixels = np.stack(
        [
            np.asarray(
                Image.fromarray(np.ascontiguousarray(page[..., c])).resize(
                    tuple(high - low), Image.Resampling.BICUBIC, box
                )
            )
            for c in range(4)
        ],
        axis=-1,
    )
    colour = np.clip(pixels[..., :3] / np.maximum(pixels[..., 3:], 1e-3), 0, 1)
    # Enlarged edges are wide; half way through they stay in their place.
    steeper = np.clip(1 / scale, 1, MOST_STEEP)
    coverage = np.clip((pixels[..., 3:] - 0.5) * steeper + 0.5, 0, 1)
    place = made[low[1] : high[1], low[0] : high[0]]
    below = place / np.float32(255)
    if frame.shape[2] == 4:
        left = below[..., 3:] * (1 - coverage)
        total = coverage + left
        colour = (colour * coverage + below[..., :3] * left) / np.maximum(total, 1e-6)
        place[:] = np.round(255 * np.concatenate([colour, total], axis=-1))
    else:
        place[:] = np.round(255 * (below + coverage * (colour - below)))
    return made
