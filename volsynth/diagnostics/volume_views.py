"""Views of a volume from the front, from the side and from above (Knoche 2019, 6.2.4), in NumPy.

A volume is [H, W, D, C], and its depth rises away from the camera. The three views are those of a
viewer who walks around it: the side is seen from the right of the picture, so that the front of the
volume is at the left of the view; seen from above, the front is at the bottom, and the right of the
picture stays right.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8

from volsynth.errors import UserError
from volsynth.skeleton import NUM_PARTS

VIEWS = ("front", "side", "top")
"""The names of the views."""

OFFCUT = NUM_PARTS + 1
"""The label of the offcut: the voxels in no part, which may have a mask of their own."""


def volume_views(volume: Float[np.ndarray, "H W D C"]) -> dict[str, Float[np.ndarray, "_ _"]]:
    """Shows where a volume is active: its standard deviations over depth, width and height.

    The three views of a channel are brought to [0, 1] together, by the smallest and the largest
    value of all three, so that they can be compared; then the channels are averaged. A channel that
    does not vary is zero everywhere.

    Args:
      volume: features.

    Returns:
      {"front": [H, W], "side": [H, D], "top": [D, W]} in [0, 1]; depth rises from left to right in
      the side view and from the bottom up in the top view.
    """
    # In float64: the standard deviation of large, nearly constant features would be all rounding.
    volume = np.asarray(volume, np.float64)
    deviations = [np.std(volume, axis=axis) for axis in (2, 1, 0)]
    everything = np.concatenate([view.reshape(-1, volume.shape[-1]) for view in deviations])
    least, largest = np.min(everything, axis=0), np.max(everything, axis=0)
    # Places with the same surroundings differ by the rounding of the float32 features, which is no
    # activity; brought to [0, 1] it would look like some.
    noise = 10 * np.finfo(np.float32).eps * np.max(np.abs(volume), axis=(0, 1, 2))
    varies = largest - least > noise
    span = np.where(varies, largest - least, 1.0)
    # A channel that does not vary counts as zero, not as missing, in the mean over the channels.
    front, side, top = (np.mean(varies * (view - least) / span, axis=-1) for view in deviations)
    return {"front": front, "side": side, "top": _from_above(top)}


def part_views(masks: Bool[np.ndarray, "P H W D"]) -> dict[str, UInt8[np.ndarray, "_ _"]]:
    """Labels the part that is seen at every place: the first one that a ray from the viewer meets.

    Args:
      masks: the masks of the parts; a mask after those of the parts is the offcut, which hides no
        part.

    Returns:
      Labels at the places of `volume_views`: 0 is nothing, i + 1 is part i, and `OFFCUT` the
      offcut. Where parts share a voxel, the first of them is seen.
    """
    masks = np.asarray(masks, bool)
    parts = masks[:NUM_PARTS]
    labels = np.where(np.any(parts, axis=0), np.argmax(parts, axis=0) + 1, 0).astype(np.uint8)
    rest = np.any(masks[NUM_PARTS:], axis=0)
    # Seen from the right, the last column is the nearest.
    front = _first(labels, rest, axis=2)
    side = _first(labels[:, ::-1], rest[:, ::-1], axis=1)
    return {"front": front, "side": side, "top": _from_above(_first(labels, rest, axis=0))}


def _from_above(view):
    """Turns [W, D] into a picture whose last row is the front of the volume."""
    return view.T[::-1]


def _first(labels, rest, axis):
    """The first label along an axis that is not 0; the offcut's where only `rest` is met."""
    first = np.argmax(labels > 0, axis=axis, keepdims=True)
    seen = np.take_along_axis(labels, first, axis=axis).squeeze(axis)
    return np.where((seen == 0) & np.any(rest, axis=axis), np.uint8(OFFCUT), seen)


def inner_layers(depth: int) -> Bool[np.ndarray, " D"]:
    """Marks the inner half of the depth layers; the others are the outer half (Knoche 2019, 6.3).

    If the layers cannot be halved, it is the nearest number that leaves as many in front as behind.

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
    """Measures how much of a view lies in a silhouette.

    Args:
      view: a view without negative values.
      silhouette: a mask whose height and width are whole multiples of the view's.

    Returns:
      The share of the view's sum that lies in the silhouette, 0 if the view is empty; and the share
      of the area that the silhouette covers.
    """
    height, width = view.shape
    # The silhouette has the size of the image, the view that of the volume: every place of the view
    # gets the share of its pixels that are in the silhouette.
    covered = np.reshape(silhouette, (height, silhouette.shape[0] // height, width, -1))
    covered = np.mean(covered, axis=(1, 3))
    total = float(np.sum(view))
    return float(np.sum(view * covered)) / total if total > 0 else 0.0, float(np.mean(covered))


def depth_profile(side: np.ndarray) -> Float[np.ndarray, " D"]:
    """Sums a side view [H, D] over its height and divides by the total; zeros if it is empty."""
    profile = np.sum(side, axis=0, dtype=np.float64)
    total = np.sum(profile)
    return profile / total if total > 0 else profile


def centre_and_width(profile: Float[np.ndarray, " D"]) -> tuple[float, float]:
    """Returns mean and standard deviation of a depth profile: 0 is the front, 1 the back."""
    # The middles of the layers.
    places = (np.arange(len(profile)) + 0.5) / len(profile)
    centre = float(np.sum(profile * places))
    return centre, float(np.sqrt(np.sum(profile * (places - centre) ** 2)))


def correlation(a: np.ndarray | Sequence[float], b: np.ndarray | Sequence[float]) -> float | None:
    """Returns Pearson's correlation of two arrays of one shape; None if one does not vary."""
    a, b = np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel()
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])
