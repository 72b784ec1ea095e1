"""Landmarks and mask of one person in a picture, by the network of BlazePose."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from volsynth.photographs import regions
from volsynth.pretrained.blazepose import landmark_network, networks

BODY = 33
"""The number of landmarks of the body; those that follow tell the person's circle, and hands."""

MARGIN = 1.25
"""The side of the square that the network looks at, as a multiple of the circle's diameter."""

_REACH = 3
"""The distance, in cells of the heat map, within which it refines a landmark."""

_LEAST_HEAT = 0.5
"""The probability that some cell around a landmark must reach for the heat map to refine it."""


class Look(NamedTuple):
    """What the network sees in a square of a picture.

    Attributes:
      points: the landmarks in pixels of the picture; the two after the body's are the centre and
        the top of the person's circle.
      world: the body's landmarks in metres from the middle of the hips, along the picture's axes:
        x right, y down, z away from the camera.
      visibility: the probability that each landmark of the body is visible.
      score: the probability that there is a person.
      mask: the probability of each pixel of the square that it shows the person.
      region: the square.
    """

    points: Float[np.ndarray, "35 2"]
    world: Float[np.ndarray, "33 3"]
    visibility: Float[np.ndarray, "33"]
    score: float
    mask: Float[np.ndarray, "256 256"]
    region: regions.Region

    @property
    def next_region(self) -> regions.Region:
        """The square around the person as the landmarks tell it, which is better centred."""
        return regions.around(*self.points[BODY:], MARGIN)


def look(picture: UInt8[np.ndarray, "H W 3"], region: regions.Region) -> Look:
    """Finds the landmarks and the mask of the person in a square of a picture.

    Args:
      picture: the picture.
      region: the square around the person, turned so that the person is upright in it.
    """
    side = landmark_network.SIDE
    found = networks.load().look(regions.cut(picture, region, side))
    image, heat = np.asarray(found.image, float), _probability(found.heat)
    points = refined(image[:, :2] / side, heat)[: BODY + 2]
    world = np.asarray(found.world, float)[:BODY]
    world[:, :2] = world[:, :2] @ region.rotation.T
    return Look(
        region.to_picture(points),
        world,
        _probability(image[:BODY, 3]),
        float(found.present),
        _probability(found.mask),
        region,
    )


def refined(
    points: Float[np.ndarray, "N 2"], heat: Float[np.ndarray, "h w N"]
) -> Float[np.ndarray, "N 2"]:
    """Moves landmarks to the mean of the heat map around them, where it is sure enough.

    Args:
      points: (x, y) as shares of the square's side.
      heat: for each cell and landmark, the probability that the landmark is there.
    """
    height, width = heat.shape[:2]
    size = np.array([width, height])
    cells = np.floor(points * size).astype(int)
    inside = np.all((cells >= 0) & (cells < size), axis=1)
    y, x = np.mgrid[:height, :width][..., None]
    near = (np.abs(x - cells[:, 0]) <= _REACH) & (np.abs(y - cells[:, 1]) <= _REACH)
    weight = np.where(near, heat, 0.0)
    sure = inside & (weight.max(axis=(0, 1)) >= _LEAST_HEAT)
    total = np.where(sure, weight.sum(axis=(0, 1)), 1.0)
    # The published program counts from the cells' corners, and the network is trained for that.
    means = np.stack([(weight * axis).sum(axis=(0, 1)) / total for axis in (x, y)], axis=1)
    return np.where(sure[:, None], means / size, points)


def _probability(logits):
    # Logits of masks reach thousands, whose exponentials no float holds.
    return 1 / (1 + np.exp(-np.clip(np.asarray(logits, np.float32), -60, 60)))
