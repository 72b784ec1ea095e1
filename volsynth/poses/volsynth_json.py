"""Poses of our own format, JSON with an entry for every pose, which docs/data.md describes."""

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from volsynth.files import InMemory
from volsynth.poses import joint_orders
from volsynth.poses.parsing import MOST_COORDINATE, are_coordinates, check_order, shorten
from volsynth.poses.pose import AXES, TEXTS, KeypointError, Pose

FORMAT = "volsynth-keypoints"
"""The text that a file has as its `format`."""

VERSION = 1
"""The number that a file has as its `version`."""

_ENTRY = {*TEXTS, *AXES, "frame", "visible", "intrinsics"}
"""The keys that an entry may have."""


def poses(
    path: pathlib.Path | InMemory, content: dict[str, Any], wanted: str | None
) -> Iterator[Callable[[], Pose]]:
    """A parser for every pose of a file.

    Args:
      path: the file.
      content: the file's JSON.
      wanted: the order of joints that the file must have; None for any.

    Raises:
      KeypointError: the file is of another version or order, or has no list of poses.
    """
    if content["format"] != FORMAT or content.get("version") != VERSION:
        raise KeypointError(
            f"{path}: 'format' and 'version' must be {FORMAT!r} and {VERSION}, got "
            f"{content['format']!r} and {content.get('version')!r}."
        )
    order = content.get("order", joint_orders.VOLSYNTH_15)
    if not isinstance(order, str):
        raise KeypointError(f"{path}: 'order' must be the name of an order, got {order!r}.")
    joint_orders.find_order(order)
    check_order(path, wanted, order)
    listed = content.get("poses")
    if not isinstance(listed, list):
        raise KeypointError(f"{path}: 'poses' must be a list, got {shorten(listed)}.")
    for number, entry in enumerate(listed):
        # Defaults bind the values of this turn of the loop; parsers run after it.
        yield lambda e=entry, n=number: pose_of(e, f"{path}: pose {n}", order)


def pose_of(entry: Any, where: str, order: str) -> Pose:
    """The pose of one entry.

    Args:
      entry: JSON of the entry.
      where: what error messages call the entry.
      order: name of the order of its joints.

    Raises:
      KeypointError: the entry is not what the format says.
    """
    # Unknown keys are refused rather than ignored: a misspelt field would be lost without a word.
    if not isinstance(entry, dict) or not set(entry) <= _ENTRY:
        odd = sorted(set(entry) - _ENTRY)[0] if isinstance(entry, dict) else shorten(entry)
        raise KeypointError(f"{where} has {odd!r}. Allowed: {', '.join(sorted(_ENTRY))}.")
    found: dict[str, Any] = {}
    for key in TEXTS:
        found[key] = entry.get(key, "")
        if not isinstance(found[key], str):
            raise KeypointError(f"{where}: {key!r} must be text, got {shorten(found[key])}.")
        where = f"{where} ({found[key]})" if key == "image" and found[key] else where
    found["frame"] = _count(entry.get("frame", 0), where)
    joints = {key: _joints(entry[key], key, order, where) for key in AXES if key in entry}
    if not joints:
        raise KeypointError(f"{where} has neither 'joints_px' nor 'joints_mm'.")
    # A joint that is null in one of the fields is not known in the other either.
    visible = np.logical_and.reduce([np.isfinite(values).all(axis=1) for values in joints.values()])
    if "visible" in entry:
        visible &= _flags(entry["visible"], len(visible), where)
    if "intrinsics" in entry:
        found["intrinsics"] = _intrinsics(entry["intrinsics"], where)
    joints = {key: np.where(visible[:, None], values, 0) for key, values in joints.items()}
    return Pose(order, visible, where=where, **joints, **found)


def entry_of(pose: Pose) -> dict[str, Any]:
    """The entry of a pose, of which `pose_of` makes it again."""
    found = {key: getattr(pose, key) for key in TEXTS if getattr(pose, key)}
    if pose.frame:
        found["frame"] = pose.frame
    for key in AXES:
        if (joints := getattr(pose, key)) is not None:
            found[key] = [
                # More digits would make files large and say nothing: no joint is known so well.
                np.round(joint, 4).tolist() if seen else None
                for joint, seen in zip(joints.astype(float), pose.visible)
            ]
    if pose.intrinsics is not None:
        found["intrinsics"] = pose.intrinsics.astype(float).tolist()
    return found


def _joints(value, key, order, where):
    """The joints of a field, [J, 2 or 3]; NaN where a joint is null."""
    count, axes = len(joint_orders.find_order(order).joints), AXES[key]
    if not isinstance(value, list) or len(value) != count:
        got = len(value) if isinstance(value, list) else shorten(value)
        raise KeypointError(f"{where}: {key!r} must have {count} joints ({order}), got {got}.")
    rows = []
    for joint in value:
        if joint is not None and not are_coordinates(joint, len(axes)):
            raise KeypointError(
                f"{where}: a joint of {key!r} must be null or {len(axes)} numbers within "
                f"{MOST_COORDINATE:g}, got {shorten(joint)}."
            )
        rows.append([np.nan] * len(axes) if joint is None else joint)
    return np.array(rows, float)


def _flags(value, count, where):
    if not isinstance(value, list) or [type(v) for v in value] != [bool] * count:
        raise KeypointError(f"{where}: 'visible' must be {count} times true or false.")
    return np.array(value)


def _count(value, where):
    # Records of prepared data store it in 64 bits.
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**62:
        raise KeypointError(f"{where}: 'frame' must be a number from 0, got {shorten(value)}.")
    return value


def _intrinsics(value, where):
    rows = value if isinstance(value, list) and len(value) == 3 else [None]
    if not all(are_coordinates(row, 3) for row in rows):
        raise KeypointError(f"{where}: 'intrinsics' must be 3 rows of 3 numbers.")
    matrix = np.array(rows, float)
    if matrix[0, 0] <= 0 or matrix[1, 1] <= 0 or matrix[2].tolist() != [0, 0, 1]:
        raise KeypointError(
            f"{where}: 'intrinsics' must have positive focal lengths and end with 0, 0, 1."
        )
    return matrix
