"""Volumes as flat pictures: from the front, from the side and from above (seed 000, 6.2.4). NumPy.

A volume is [H, W, D, C] with depth away from the camera. The three views are those of a viewer who
walks around it: the side is seen from the picture's right, so that the front of the volume is at
the left of the view; seen from above, the front is at the bottom and the picture's right stays
right.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8

from volsynth.errors import UserError
from volsynth.skeleton import NUM_PARTS

VIEWS = ("front", "side", "top")

OFFCUT = NUM_PARTS + 1
"""The label of what is in no part, where a mask for it is given."""


def volume_views(volume: Float[np.ndarray, "H W D C"]) -> dict[str, Float[np.ndarray, "_ _"]]:
    """Where a volume is active: standard deviations over depth, width and height, in [0, 1].

    Each channel's three views are brought to [0, 1] together, by the least and the largest value of
    all three, so that they can be compared; then the channels are averaged. A channel that does not
    vary is zero everywhere.

    Args:
      volume: features.

    Returns:
      {"front": [H, W], "side": [H, D], "top": [D, W]}; depth rises from left to right in the side
      view and from the bottom up in the top view.
    """
    volume = np.asarray(volume, np.float64)
    deviations = [np.std(volume, axis=axis) for axis in (2, 1, 0)]
    everything = np.concatenate([view.reshape(-1, volume.shape[-1]) for view in deviations])
    least, largest = np.min(everything, axis=0), np.max(everything, axis=0)
    # What float32 rounds differently in places that see the same is not activity.
    noise = 10 * np.finfo(np.float32).eps * np.max(np.abs(volume), axis=(0, 1, 2))
    varies = largest - least > noise
    span = np.where(varies, largest - least, 1.0)
    front, side, top = (np.mean(varies * (view - least) / span, axis=-1) for view in deviations)
    return {"front": front, "side": side, "top": _from_above(top)}


def part_views(masks: Bool[np.ndarray, "P H W D"]) -> dict[str, UInt8[np.ndarray, "_ _"]]:
    """Which part is seen where: the first one that a ray from the viewer meets.

    Args:
      masks: of the parts; one more than there are parts is the offcut, which hides none of them.

    Returns:
      Labels in the places of `volume_views`: 0 is nothing, i + 1 part i, `OFFCUT` the offcut. Where
      parts share a voxel, the first of them is seen.
    """
    masks = np.asarray(masks, bool)
    parts = masks[:NUM_PARTS]
    labels = np.where(np.any(parts, axis=0), np.argmax(parts, axis=0) + 1, 0).astype(np.uint8)
    rest = np.any(masks[NUM_PARTS:], axis=0)
    # From the right the last column comes first.
    front = _first(labels, rest, axis=2)
    side = _first(labels[:, ::-1], rest[:, ::-1], axis=1)
    return {"front": front, "side": side, "top": _from_above(_first(labels, rest, axis=0))}


def _from_above(view):
    """[W, D] as a picture whose last row is the front of the volume."""
    return view.T[::-1]


def _first(labels, rest, axis):
    first = np.argmax(labels > 0, axis=axis, keepdims=True)
    seen = np.take_along_axis(labels, first, axis=axis).squeeze(axis)
    return np.where((seen == 0) & np.any(rest, axis=axis), np.uint8(OFFCUT), seen)


def inner_layers(depth: int) -> Bool[np.ndarray, " D"]:
    """The inner half of the depth layers; the other ones are the outer half (seed 000, 6.3).

    Where there are no halves, the nearest that is the same from both ends.

    Raises:
      UserError: there are less than three layers.
    """
    outer = (depth + 2) // 4
    inner = np.zeros(depth, bool)
    inner[outer : depth - outer] = True
    if outer == 0 or not inner.any():
        raise UserError(f"a volume of {depth} layers has no inner and outer ones; 3 are needed.")
    return inner


def share_inside(
    view: Float[np.ndarray, "H W"], silhouette: Bool[np.ndarray, "S T"]
) -> tuple[float, float]:
    """(the share of a view's sum that lies in a silhouette, the share of the area that it covers).

    Args:
      view: at least zero.
      silhouette: of whole multiples of the view's height and width.

    Returns:
      Both in [0, 1], the first 0 if there is nothing to see.
    """
    height, width = view.shape
    covered = np.reshape(silhouette, (height, silhouette.shape[0] // height, width, -1))
    covered = np.mean(covered, axis=(1, 3))
    total = float(np.sum(view))
    return float(np.sum(view * covered)) / total if total > 0 else 0.0, float(np.mean(covered))


def depth_profile(side: np.ndarray) -> Float[np.ndarray, " D"]:
    """How much of a side view [H, D] lies in each layer; sums to 1, or to 0 if there is nothing."""
    profile = np.sum(side, axis=0, dtype=np.float64)
    total = np.sum(profile)
    return profile / total if total > 0 else profile


def centre_and_width(profile: Float[np.ndarray, " D"]) -> tuple[float, float]:
    """Mean and standard deviation of a depth profile, as shares of the depth: 0 front, 1 back."""
    places = (np.arange(len(profile)) + 0.5) / len(profile)
    centre = float(np.sum(profile * places))
    return centre, float(np.sqrt(np.sum(profile * (places - centre) ** 2)))


def correlation(a: np.ndarray | Sequence[float], b: np.ndarray | Sequence[float]) -> float | None:
    """Pearson's of two arrays of one shape, None if one of them does not vary."""
    a, b = np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel()
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])
