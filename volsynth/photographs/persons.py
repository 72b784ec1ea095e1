"""Persons in a photograph: joints in pixels and in mm, a soft mask, and how sure all of it is.

The detector and the landmark network of BlazePose (Bazarevsky et al. 2020) come with the package.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.spatial.transform import Rotation

from volsynth.photographs import detection, landmarks, regions
from volsynth.photographs.joints import joints
from volsynth.poses import joint_orders
from volsynth.poses.pose import Pose
from volsynth.skeleton import HIPS

LEAST_VISIBILITY = 0.3
"""The probability of being visible below which a joint is not known."""

_SAME = 0.2
"""The mean distance of their joints below which two finds are one person, as a share of the radius
of the person's circle."""


@dataclasses.dataclass(frozen=True)
class Person:
    """A person in a photograph; joints are in the order of `skeleton.JOINTS`.

    Attributes:
      joints_px: pixels of the picture; joints may lie outside of it.
      joints_mm: mm from the middle of the hips; x right, y down, z away from the camera. The axes
        are the camera's if its matrix was given; else z is the direction in which the camera sees
        the person.
      visibility: the probability of each joint that it is visible.
      known: which joints lie in the picture and are at least `LEAST_VISIBILITY` visible.
      mask: the probability of each pixel of the picture that it shows the person.
      score: the probability that it is a person at all.
    """

    joints_px: Float[np.ndarray, "15 2"]
    joints_mm: Float[np.ndarray, "15 3"]
    visibility: Float[np.ndarray, "15"]
    known: Bool[np.ndarray, "15"]
    mask: Float[np.ndarray, "H W"]
    score: float

    def pose(self, name: str = "") -> Pose:
        """The person's pose, in which only known joints are visible.

        Args:
          name: what files of poses and messages call the picture.
        """
        order = joint_orders.VOLSYNTH_15
        return Pose(order, self.known, self.joints_px, self.joints_mm, image=name, where=name)


def find_person(
    picture: UInt8[np.ndarray, "H W 3"], intrinsics: Float[np.ndarray, "3 3"] | None = None
) -> Person | None:
    """Finds the most prominent person of a picture: the largest one.

    Args:
      picture: RGB, of any size, turned in any way.
      intrinsics: the camera's matrix K, in pixels of the picture; None if it is not known.

    Returns:
      the person, or None if nobody is found. Persons who are a tenth as tall as the picture's
      longer side, or smaller, may be missed.
    """
    size = picture.shape[:2]
    # Smaller squares show smaller persons.
    for squares in detection.squares(size):
        found = [each for region in squares for each in _whole(picture, region)]
        for each in sorted(found, key=lambda each: -each.radius):
            if (seen := _seen(picture, each)) is not None:
                return _person(seen, size, intrinsics)
    return None


def find_persons(
    picture: UInt8[np.ndarray, "H W 3"], intrinsics: Float[np.ndarray, "3 3"] | None = None
) -> list[Person]:
    """Finds all persons of a picture, the largest first.

    Args:
      picture: RGB, of any size, turned in any way.
      intrinsics: the camera's matrix K, in pixels of the picture; None if it is not known.

    Returns:
      the persons; an empty list if nobody is found. Persons who are a tenth as tall as the
      picture's longer side, or smaller, may be missed.
    """
    size = picture.shape[:2]
    found = [
        each
        for squares in detection.squares(size)
        for region in squares
        for each in _whole(picture, region)
    ]
    kept: list[landmarks.Look] = []
    # The surest first: squares that cut somebody off are less sure, and see the same person.
    for each in sorted(found, key=lambda each: -each.score):
        if any(_is_seen(each, look) for look in kept):
            continue
        seen = _seen(picture, each)
        if seen is not None and not any(_are_same(seen, look) for look in kept):
            kept.append(seen)
    kept.sort(key=lambda look: -look.next_region.side)
    return [_person(look, size, intrinsics) for look in kept]


def _whole(picture, region):
    """The detections in a square that it does not cut off."""
    size = picture.shape[:2]
    found = detection.detect(picture, region)
    return [each for each in found if detection.is_whole(each, region, size)]


def _seen(picture, found):
    """What two looks at a detection show, or None if that is no person."""
    first = landmarks.look(picture, regions.around(found.centre, found.top, landmarks.MARGIN))
    if first.score < detection.LEAST_SCORE:
        return None
    # The landmarks tell the square better than the detector.
    second = landmarks.look(picture, first.next_region)
    return second if second.score >= detection.LEAST_SCORE else None


def _is_seen(found, look):
    """Whether a detection is of a person who was looked at already."""
    centre, top = look.points[landmarks.BODY :]
    radius = np.hypot(*(top - centre))
    moved = np.hypot(*(found.centre - centre)) + abs(found.radius - radius)
    return moved < _SAME * max(radius, found.radius)


def _are_same(a, b):
    apart = np.linalg.norm(a.points - b.points, axis=1)[: landmarks.BODY].mean()
    return apart < _SAME * min(a.next_region.side, b.next_region.side) / 2


def _person(look, size, intrinsics):
    made = joints(look.points[: landmarks.BODY], look.world, look.visibility)
    inside = np.all((made.px >= 0) & (made.px <= size[::-1]), axis=1)
    known = inside & (made.visibility >= LEAST_VISIBILITY)
    mask = regions.put_back(look.mask, look.region, size)
    mm = made.mm
    if intrinsics is not None:
        mm = mm @ _view(made.px[list(HIPS)].mean(axis=0), intrinsics).T
    return Person(made.px, mm, made.visibility, known, mask, look.score)


def _view(point, intrinsics):
    """The smallest rotation from the camera's z axis to the direction of a point of the picture.

    The network sees a square around the person and cannot know where the camera's axis was: a
    person below it looks like one who is seen from in front and leans back.
    """
    ray = np.linalg.solve(intrinsics, [*point, 1.0])
    rotation, _ = Rotation.align_vectors(ray[None], [[0.0, 0.0, 1.0]])
    return rotation.as_matrix()
