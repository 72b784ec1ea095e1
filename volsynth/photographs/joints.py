"""The project's fifteen joints from the landmarks of BlazePose."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

_EYES, _EARS, _MOUTH = (2, 5), (7, 8), (9, 10)
_SHOULDERS, _HIPS = (11, 12), (23, 24)

_LIMBS = (12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27)
"""The landmarks that are joints themselves: those of `skeleton.JOINTS` from the fourth on."""

NECK = 0.066
"""The height of the neck above the shoulders' middle, in lengths of the trunk."""

HEAD_TOP = 0.225
"""The height of the head's top above the middle of the ears, in lengths of the trunk."""


class Joints(NamedTuple):
    """Joints in the order of `skeleton.JOINTS`.

    Attributes:
      px: pixels of the picture.
      mm: mm from the middle of the hips, along the camera's axes.
      visibility: the probability that each is visible.
    """

    px: Float[np.ndarray, "15 2"]
    mm: Float[np.ndarray, "15 3"]
    visibility: Float[np.ndarray, "15"]


def joints(
    points: Float[np.ndarray, "33 2"],
    world: Float[np.ndarray, "33 3"],
    visibility: Float[np.ndarray, "33"],
) -> Joints:
    """Makes the joints from landmarks; those that are no landmarks are placed by proportions.

    The head is the middle of the ears. Its top lies above it in the direction from the mouth to the
    eyes, made perpendicular to the line between the ears; the neck lies above the middle of the
    shoulders in the direction of the trunk. Both proportions are those of rendered people, where
    these joints are known.

    Args:
      points: landmarks in pixels of the picture.
      world: landmarks in metres.
      visibility: the probability that each landmark is visible.
    """
    trunk = _middle(world, _SHOULDERS) - _middle(world, _HIPS)
    across = _unit(world[_EARS[0]] - world[_EARS[1]])
    up = _middle(world, _EYES) - _middle(world, _MOUTH)
    up = _unit(up - across * (up @ across))
    above_head = HEAD_TOP * np.linalg.norm(trunk) * up
    above_shoulders = NECK * trunk
    head, shoulders = _middle(world, _EARS), _middle(world, _SHOULDERS)
    metres = [[head + above_head, head, shoulders + above_shoulders], world[list(_LIMBS)]]
    scale = _pixels_per_metre(points, world)
    head, shoulders = _middle(points, _EARS), _middle(points, _SHOULDERS)
    made = [head + scale * above_head[:2], head, shoulders + scale * above_shoulders[:2]]
    least = [visibility[list(pair)].min() for pair in (_EARS, _EARS, _SHOULDERS)]
    return Joints(
        np.concatenate([made, points[list(_LIMBS)]]),
        1000 * np.concatenate(metres),
        np.concatenate([least, visibility[list(_LIMBS)]]),
    )


def _pixels_per_metre(points, world):
    """The scale of the picture at the person, by least squares over the limbs' landmarks."""
    a, b = world[list(_LIMBS), :2], points[list(_LIMBS)]
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    return (a * b).sum() / max((a * a).sum(), 1e-12)


def _middle(values, pair):
    return values[list(pair)].mean(axis=0)


def _unit(vector):
    """The vector at length 1; zero if it is so short that it has no direction."""
    return vector / max(np.linalg.norm(vector), 1e-9)
