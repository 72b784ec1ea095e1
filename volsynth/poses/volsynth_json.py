"""Our own format, JSON: an entry for every pose. docs/data.md describes it."""

from typing import Any

import numpy as np

from volsynth.poses import joint_orders
from volsynth.poses.parsing import MOST_COORDINATE, agree, numbers, short
from volsynth.poses.pose import AXES, TEXTS, KeypointError, Pose

FORMAT = "volsynth-keypoints"
VERSION = 1

_ENTRY = {*TEXTS, *AXES, "frame", "visible", "intrinsics"}


def poses(path, content, wanted):
    """A parser for every pose of a file's content."""
    if content["format"] != FORMAT or content.get("version") != VERSION:
        raise KeypointError(
            f"{path}: 'format' and 'version' must be {FORMAT!r} and {VERSION}, got "
            f"{content['format']!r} and {content.get('version')!r}."
        )
    order = content.get("order", joint_orders.OURS)
    if not isinstance(order, str):
        raise KeypointError(f"{path}: 'order' must be the name of an order, got {order!r}.")
    joint_orders.find(order)
    agree(path, wanted, order)
    listed = content.get("poses")
    if not isinstance(listed, list):
        raise KeypointError(f"{path}: 'poses' must be a list, got {short(listed)}.")
    for number, entry in enumerate(listed):
        yield lambda e=entry, n=number: pose_of(e, f"{path}: pose {n}", order)


def pose_of(entry, where, order):
    """The pose of one entry, whose joints are in this order."""
    if not isinstance(entry, dict) or not set(entry) <= _ENTRY:
        odd = sorted(set(entry) - _ENTRY)[0] if isinstance(entry, dict) else short(entry)
        raise KeypointError(f"{where} has {odd!r}. Allowed: {', '.join(sorted(_ENTRY))}.")
    found: dict[str, Any] = {}
    for key in TEXTS:
        found[key] = entry.get(key, "")
        if not isinstance(found[key], str):
            raise KeypointError(f"{where}: {key!r} must be text, got {short(found[key])}.")
        where = f"{where} ({found[key]})" if key == "image" and found[key] else where
    found["frame"] = _count(entry.get("frame", 0), where)
    joints = {key: _joints(entry[key], key, order, where) for key in AXES if key in entry}
    if not joints:
        raise KeypointError(f"{where} has neither 'joints_px' nor 'joints_mm'.")
    visible = np.logical_and.reduce([np.isfinite(values).all(axis=1) for values in joints.values()])
    if "visible" in entry:
        visible &= _flags(entry["visible"], len(visible), where)
    if "intrinsics" in entry:
        found["intrinsics"] = _intrinsics(entry["intrinsics"], where)
    joints = {key: np.where(visible[:, None], values, 0) for key, values in joints.items()}
    return Pose(order, visible, where=where, **joints, **found)


def entry_of(pose):
    """The inverse of `pose_of`."""
    found = {key: getattr(pose, key) for key in TEXTS if getattr(pose, key)}
    if pose.frame:
        found["frame"] = pose.frame
    for key in AXES:
        if (joints := getattr(pose, key)) is not None:
            found[key] = [
                np.round(joint, 4).tolist() if seen else None
                for joint, seen in zip(joints.astype(float), pose.visible)
            ]
    if pose.intrinsics is not None:
        found["intrinsics"] = pose.intrinsics.astype(float).tolist()
    return found


def _joints(value, key, order, where):
    """[J, 2 or 3]; NaN where a joint is null."""
    count, axes = len(joint_orders.find(order).joints), AXES[key]
    if not isinstance(value, list) or len(value) != count:
        got = len(value) if isinstance(value, list) else short(value)
        raise KeypointError(f"{where}: {key!r} must have {count} joints ({order}), got {got}.")
    rows = []
    for joint in value:
        if joint is not None and not numbers(joint, len(axes)):
            raise KeypointError(
                f"{where}: a joint of {key!r} must be null or {len(axes)} numbers within "
                f"{MOST_COORDINATE:g}, got {short(joint)}."
            )
        rows.append([np.nan] * len(axes) if joint is None else joint)
    return np.array(rows, float)


def _flags(value, count, where):
    if not isinstance(value, list) or [type(v) for v in value] != [bool] * count:
        raise KeypointError(f"{where}: 'visible' must be {count} times true or false.")
    return np.array(value)


def _count(value, where):
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**62:
        raise KeypointError(f"{where}: 'frame' must be a number from 0, got {short(value)}.")
    return value


def _intrinsics(value, where):
    rows = value if isinstance(value, list) and len(value) == 3 else [None]
    if not all(numbers(row, 3) for row in rows):
        raise KeypointError(f"{where}: 'intrinsics' must be 3 rows of 3 numbers.")
    matrix = np.array(rows, float)
    if matrix[0, 0] <= 0 or matrix[1, 1] <= 0 or matrix[2].tolist() != [0, 0, 1]:
        raise KeypointError(
            f"{where}: 'intrinsics' must have positive focal lengths and end with 0, 0, 1."
        )
    return matrix
