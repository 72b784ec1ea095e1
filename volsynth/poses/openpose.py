"""Poses of OpenPose's JSON: a file for each image, with 18 or 25 joints of each person."""

import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from volsynth.files import InMemory
from volsynth.poses.parsing import check_order, shorten, split_triples
from volsynth.poses.pose import KeypointError, Pose

_ORDERS = {54: "openpose_18", 75: "openpose_25"}
"""Orders of joints by the number of values of a person: three for each joint."""


def poses(
    path: pathlib.Path | InMemory, content: dict[str, Any], wanted: str | None
) -> Iterator[Callable[[], Pose]]:
    """A parser for the pose of a file; of several persons in it the largest counts.

    Args:
      path: the file.
      content: the file's JSON.
      wanted: the order of joints that the file must have; None for any.
    """

    # Inside the parser, so that a wrong file is left out alone.
    def parse():
        people = content["people"]
        if not isinstance(people, list) or not people:
            raise KeypointError(f"{path} has nobody in 'people'.")
        found = [_person(path, person, wanted) for person in people]
        name = path.stem.removesuffix("_keypoints")
        # Whoever is behind the person looks smaller.
        order, joints, visible = max(found, key=lambda f: _extent(f[1], f[2]))
        return Pose(order, visible, joints, image=name, where=str(path))

    yield parse


def _person(path, person, wanted):
    """The order, joints and visibility of an entry of 'people'."""
    values = person.get("pose_keypoints_2d") if isinstance(person, Mapping) else None
    if not isinstance(values, list) or len(values) not in _ORDERS:
        got = len(values) if isinstance(values, list) else shorten(values)
        raise KeypointError(
            f"{path}: 'pose_keypoints_2d' must have 54 numbers (openpose_18) or 75 (openpose_25), "
            f"got {got}."
        )
    order = check_order(path, wanted, _ORDERS[len(values)])
    return (order, *split_triples(values, str(path)))


def _extent(joints, visible):
    """The area of the box around the known joints; -1 without any: anyone else is larger."""
    seen = joints[visible]
    return float(np.prod(np.ptp(seen, axis=0))) if len(seen) else -1.0
