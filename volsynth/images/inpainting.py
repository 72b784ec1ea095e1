"""A picture with a part of it filled in from what is around."""

import numpy as np
from jaxtyping import Bool, Float, UInt8

GREY = 128
"""The level of all channels of a picture in which nothing is known."""

SWEEPS = 12
"""The number of times that each missing pixel is replaced by the mean of its neighbours at each
size. Every size starts from the solution of half of it, so few are enough."""


def fill(
    image: UInt8[np.ndarray, "H W C"], missing: Bool[np.ndarray, "H W"]
) -> UInt8[np.ndarray, "H W C"]:
    """Fills in missing pixels smoothly: each becomes about the mean of its neighbours.

    Pixels that are not missing stay as they are. If all are missing, all become `GREY`.
    """
    if missing.all():
        return np.full_like(image, GREY)
    filled = image.copy()
    if not missing.any():
        return filled
    # Only the surroundings of the hole are solved: pixels further away than half of its extent
    # hardly change the result, and photographs are large.
    rows, columns = (_reach(missing.any(axis=axis)) for axis in (1, 0))
    known = ~missing[rows, columns]
    values = np.where(known[..., None], image[rows, columns], 0).astype(np.float32)
    smooth = np.clip(np.round(_solved(values, known)), 0, 255).astype(np.uint8)
    filled[rows, columns][~known] = smooth[~known]
    return filled


def _reach(occupied):
    """The range of occupied places, with half as many before and after it."""
    found = np.flatnonzero(occupied)
    more = (found[-1] - found[0]) // 2 + 2
    return slice(max(found[0] - more, 0), found[-1] + more + 1)


def _solved(values: Float[np.ndarray, "H W C"], known) -> Float[np.ndarray, "H W C"]:
    """Solves Laplace's equation for the unknown pixels, from coarse to fine."""
    if known.all():
        return values
    found = np.where(known[..., None], values, _doubled(_solved(*_halved(values, known)), values))
    rows, columns = np.nonzero(~known)
    height, width = known.shape
    # Clipped, so that a pixel at the edge is its own neighbour: nothing flows across the edge.
    around = [
        (np.clip(rows + down, 0, height - 1), np.clip(columns + right, 0, width - 1))
        for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1))
    ]
    for _ in range(SWEEPS):
        found[rows, columns] = sum(found[at] for at in around) / 4
    return found


def _halved(values, known):
    """Means of the known of two by two pixels each, and where any is known."""
    height, width = known.shape
    room = ((0, height % 2), (0, width % 2))
    weights = np.pad(known, room).astype(np.float32)[..., None]
    # Unknown pixels are zero, so a sum is one of known pixels alone.
    sums = np.pad(values, (*room, (0, 0)))
    sums, weights = (
        a[::2, ::2] + a[1::2, ::2] + a[::2, 1::2] + a[1::2, 1::2] for a in (sums, weights)
    )
    return sums / np.maximum(weights, 1), weights[..., 0] > 0


def _doubled(small, like):
    """The picture twice as large, interpolated, and cut to the size of another."""
    for axis in (0, 1):
        room = [(0, 0)] * 3
        room[axis] = (1, 1)
        padded = np.moveaxis(np.pad(small, room, "edge"), axis, 0)
        before, here, after = padded[:-2], padded[1:-1], padded[2:]
        # The centres of the two halves of a pixel are a quarter of it away from its own.
        both = np.stack([0.25 * before + 0.75 * here, 0.75 * here + 0.25 * after], axis=1)
        small = np.moveaxis(both.reshape(-1, *both.shape[2:]), 0, axis)
    return small[: like.shape[0], : like.shape[1]]
