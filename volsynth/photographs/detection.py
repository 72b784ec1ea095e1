"""Persons found in a picture by the detector of BlazePose (Bazarevsky et al. 2020).

A detection is a person's circle: the middle of the hips, and a point on the circle around the whole
person in the direction of the head.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from volsynth.photographs import regions
from volsynth.pretrained.blazepose import detector, networks

LEAST_SCORE = 0.5
"""The lowest probability of a person at which a box of the detector counts."""

SAME = 0.3
"""The intersection of two boxes over their union from which on they are of one person."""

SCALES = (1.0, 0.6, 0.36)
"""The sides of the squares that the detector looks at, as shares of the picture's longer side.

It finds persons from three tenths of a square's side on. Squares overlap by half, so that some
square has a whole person of up to half its side: no size lies between those of two scales.
"""

LEAST_SIDE = 64
"""The side of the smallest squares, in pixels of the picture; one is always as large as the
picture."""

_ANCHORS = detector.anchors() / detector.SIDE


class Detection(NamedTuple):
    """A person found; points are in pixels of the picture.

    Attributes:
      score: the probability that there is a person.
      centre: the middle of the hips.
      top: a point of the circle around the person, above the centre as the person stands.
    """

    score: float
    centre: Float[np.ndarray, "2"]
    top: Float[np.ndarray, "2"]

    @property
    def radius(self) -> float:
        """The radius of the circle around the person, in pixels of the picture."""
        return float(np.hypot(*(self.top - self.centre)))


def detect(picture: UInt8[np.ndarray, "H W 3"], region: regions.Region) -> list[Detection]:
    """Finds the persons in a square of a picture, the largest first.

    Args:
      picture: the picture.
      region: the square; it may reach beyond the picture.
    """
    values, scores = networks.load().detect(regions.cut(picture, region, detector.SIDE))
    values, scores = np.asarray(values, float) / detector.SIDE, np.asarray(scores, float)
    kept = scores >= LEAST_SCORE
    values, scores, anchors = values[kept], scores[kept], _ANCHORS[kept]
    middle, half = values[:, :2] + anchors, values[:, 2:4] / 2
    boxes = np.concatenate([middle - half, middle + half], axis=1)
    # The last two of the four points tell the upper body alone.
    points = values[:, 4:8].reshape(-1, 2, 2) + anchors[:, None]
    found = [
        Detection(float(scores[group].max()), *region.to_picture(merged))
        for group, merged in merge(boxes, points, scores)
    ]
    return sorted(found, key=lambda detection: -detection.radius)


def merge(
    boxes: Float[np.ndarray, "N 4"],
    points: Float[np.ndarray, "N K 2"],
    scores: Float[np.ndarray, "N"],
) -> Iterator[tuple[np.ndarray, Float[np.ndarray, "K 2"]]]:
    """Groups boxes that overlap the best one that is left, until none is left.

    Args:
      boxes: left, top, right and bottom of each.
      points: points that belong to each box.
      scores: the higher, the better.

    Yields:
      the indices of a group's boxes, and the means of its points weighted by the scores: neighbours
      see the same person, and their mean is steadier than the best of them.
    """
    left = np.argsort(-scores, kind="stable")
    while len(left):
        same = _overlap(boxes[left[0]], boxes[left]) > SAME
        # A box without area overlaps nothing, itself included.
        same[0] = True
        group, left = left[same], left[~same]
        yield group, np.average(points[group], axis=0, weights=scores[group])


def _overlap(box, others):
    """The intersection over union of a box and others."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(np.clip(others[:, 2:] - others[:, :2], 0, None), axis=1)
    return common / np.maximum(areas[0] + areas - common, 1e-12)


def squares(size: tuple[int, int]) -> list[list[regions.Region]]:
    """Squares that cover a picture, for each of `SCALES`; they overlap by half or more.

    Args:
      size: the picture's height and width, in pixels.
    """
    sides = [scale * max(size) for scale in SCALES]
    found = []
    for side in [side for i, side in enumerate(sides) if i == 0 or side >= LEAST_SIDE]:
        rows, columns = (_middles(length, side) for length in size)
        found.append([regions.Region(np.array([x, y]), side) for y in rows for x in columns])
    return found


def _middles(length, side):
    """The middles of intervals that cover a length; a single one, if that is enough."""
    count = 1 + int(np.ceil(max(length - side, 0) / (side / 2) - 1e-9))
    if count == 1:
        return [length / 2]
    return np.linspace(side / 2, length - side / 2, count)


def is_whole(found: Detection, region: regions.Region, size: tuple[int, int]) -> bool:
    """Whether a detection is of a person whom its square does not cut off.

    Args:
      found: the detection.
      region: the square, not turned.
      size: the picture's height and width, in pixels. Where the square ends with the picture, no
        other square shows more of the person.
    """
    low, high = (region.centre + sign * region.side / 2 for sign in (-1, 1))
    points = np.array([found.centre, found.top, 2 * found.centre - found.top])
    # Circles are wider than persons: a little of one may be outside.
    slack = 0.2 * found.radius
    beyond = (points < low - slack) & (low > 0)
    beyond |= (points > high + slack) & (high < np.array(size[::-1]))
    return not beyond.any()
