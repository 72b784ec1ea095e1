"""OpenPose's JSON: one file an image, of 18 or 25 joints."""

from collections.abc import Mapping

import numpy as np

from volsynth.poses.parsing import agree, short, triples
from volsynth.poses.pose import KeypointError, Pose

_ORDERS = {54: "openpose_18", 75: "openpose_25"}


def poses(path, content, wanted):
    """A parser for the pose of a file's content; of several persons the largest counts."""

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
    values = person.get("pose_keypoints_2d") if isinstance(person, Mapping) else None
    if not isinstance(values, list) or len(values) not in _ORDERS:
        got = len(values) if isinstance(values, list) else short(values)
        raise KeypointError(
            f"{path}: 'pose_keypoints_2d' must have 54 numbers (openpose_18) or 75 (openpose_25), "
            f"got {got}."
        )
    order = agree(path, wanted, _ORDERS[len(values)])
    return (order, *triples(values, str(path)))


def _extent(joints, visible):
    seen = joints[visible]
    return float(np.prod(np.ptp(seen, axis=0))) if len(seen) else -1.0
