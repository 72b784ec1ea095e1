"""The square around a person: cut out of a frame, on magenta, and pasted over one.

Frames are whole pictures; pixels of theirs are counted from the outer edge of the top left one, so
that its centre is (0.5, 0.5). Squares are cut out as in Knoche 2019, section 4.1.
"""

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from volsynth.conventions import MAGENTA

MARGIN = 0.08
"""Width of the free border on each side of the person, as a share of the square's side."""

MOST_EXTENT = 8192
"""The side, in pixels of the frame, from which on squares are scaled down in two steps."""

REACH = 0.5
"""The distance from the joints within which pixels of a mask belong to the person, as a share of
the joints' extent."""

MOST_STEEP = 2.5
"""The largest factor by which soft edges are made narrower again after they were enlarged."""


def near_joints(
    mask: Bool[np.ndarray, "H W"], px: Float[np.ndarray, "N 2"]
) -> Bool[np.ndarray, "H W"]:
    """The mask without pixels that are further from the joints than `REACH` of their extent.

    Masks may hold specks of the background, or somebody else.
    """
    low, high = px.min(axis=0), px.max(axis=0)
    reach = REACH * np.max(high - low)
    # Clipped at 0 only: slices may end beyond an array, but a negative start counts from its end.
    left, top = np.maximum(np.floor(low - reach), 0).astype(int)
    right, bottom = np.maximum(np.ceil(high + reach), 0).astype(int)
    kept = np.zeros(mask.shape, bool)
    kept[top:bottom, left:right] = mask[top:bottom, left:right]
    return kept


def square_around_mask(
    mask: Bool[np.ndarray, "H W"], px: Float[np.ndarray, "N 2"] | None = None
) -> tuple[Float[np.ndarray, "2"], float]:
    """The square around a mask and joints, with a margin.

    Args:
      mask: not empty.
      px: joints in pixels of the frame, which the square contains as well; None for the mask alone.

    Returns:
      its top left corner (x, y) and its side, pixels of the frame; it may reach beyond the frame.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    low = np.array([columns[0], rows[0]], float)
    high = np.array([columns[-1] + 1, rows[-1] + 1], float)
    if px is not None:
        low, high = np.minimum(low, px.min(axis=0)), np.maximum(high, px.max(axis=0))
    return square_around_box(low, high)


def square_around_box(
    low: Float[np.ndarray, "2"], high: Float[np.ndarray, "2"]
) -> tuple[Float[np.ndarray, "2"], float]:
    """The square around the box from `low` to `high`, with a margin; see `square_around_mask`."""
    extent = float(np.max(high - low) / (1 - 2 * MARGIN))
    return (low + high - extent) / 2, extent


def cut_out(
    image: UInt8[np.ndarray, "H W 3"],
    mask: Bool[np.ndarray, "H W"],
    corner: Float[np.ndarray, "2"],
    extent: float,
    side: int,
) -> tuple[UInt8[np.ndarray, "side side 3"], Bool[np.ndarray, "side side"]]:
    """Cuts a square out of a frame and scales it.

    Colours are means over the person's own pixels, so nothing of any background gets into an edge.
    A pixel that is less than half covered by the mask is background.

    Args:
      image: the frame.
      mask: where in the frame the person is.
      corner: the square's top left corner (x, y), pixels of the frame; it may lie outside.
      extent: the square's side, pixels of the frame.
      side: the side it is scaled to, pixels.

    Returns:
      the square with the person on magenta, and the person's mask in it.
    """
    height, width = mask.shape
    reach = _reach(extent, side)
    # Only this part of the frame is converted to floats; photographs are large.
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
    # Weighted sums over the sum of weights. Pixels with less than 0.5 become magenta anyway, so the
    # bound only keeps the division from zero.
    mean = small[..., :3] / np.maximum(small[..., 3:], 0.5)
    levels = np.round(np.clip(mean, 0, 255)).astype(np.uint8)
    return np.where(covered[..., None], levels, np.array(MAGENTA, np.uint8)), covered


def _reach(extent, side):
    """The width of the border around the square, in pixels, that influences the scaled square."""
    return int(np.ceil(max(extent / side, 1.0))) + 1


def _square_of(channel, corner, extent, side, factor):
    """The scaled square of one channel, zero beyond the frame; first scaled by a whole factor."""
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
    """Pastes a square over a frame, in the place that `cut_out` would cut it out of.

    Args:
      square: colours, multiplied by their coverage, and the coverage; in [0, 1].
      corner: the square's top left corner (x, y) in the frame, pixels.
      extent: the square's side in the frame, pixels.
      frame: picture with or without an alpha channel; parts of the square beyond it are lost.
    """
    (height, width), made = frame.shape[:2], frame.copy()
    low = np.maximum(np.floor(corner), 0).astype(int)
    high = np.minimum(np.ceil(corner + extent), (width, height)).astype(int)
    if np.any(high <= low):
        return made
    scale = square.shape[0] / extent
    pixels = _scaled_part(square, low - corner, high - corner, scale)
    # Bicubic interpolation overshoots at edges; dividing by next to no coverage would, too.
    colour = np.clip(pixels[..., :3] / np.maximum(pixels[..., 3:], 1e-3), 0, 1)
    # Enlarged edges are wide; half way through they stay in their place.
    steeper = np.clip(1 / scale, 1, MOST_STEEP)
    coverage = np.clip((pixels[..., 3:] - 0.5) * steeper + 0.5, 0, 1)
    place = made[low[1] : high[1], low[0] : high[0]]
    below = place / np.float32(255)
    if frame.shape[2] == 4:
        # The "over" operator of Porter and Duff; files hold colours that are not multiplied by
        # their alpha.
        left = below[..., 3:] * (1 - coverage)
        total = coverage + left
        colour = (colour * coverage + below[..., :3] * left) / np.maximum(total, 1e-6)
        place[:] = np.round(255 * np.concatenate([colour, total], axis=-1))
    else:
        place[:] = np.round(255 * (below + coverage * (colour - below)))
    return made


def _scaled_part(square, low, high, scale):
    """A part of a square, scaled to whole pixels of the frame.

    Args:
      square: [S, S, 4].
      low: top left corner of the part in pixels of the frame, from the square's own corner.
      high: its bottom right corner; both may lie outside of the square.
      scale: pixels of the square per pixel of the frame.
    """
    # Of the frame's pixels, those at the edge lie outside of the square in part; the filter reaches
    # two pixels further.
    border = int(np.ceil(2 * scale)) + 2
    page = np.pad(square.astype(np.float32), ((border, border), (border, border), (0, 0)))
    box = (*(low * scale + border), *(high * scale + border))
    size = tuple(np.round(high - low).astype(int))
    # Pillow resizes floats only in pictures of one channel.
    channels = (Image.fromarray(np.ascontiguousarray(page[..., c])) for c in range(4))
    return np.stack(
        [np.asarray(channel.resize(size, Image.Resampling.BICUBIC, box)) for channel in channels],
        axis=-1,
    )
