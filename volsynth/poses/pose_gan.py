"""Poses of the lists of pose-gan (Siarohin et al. 2018): `name:keypoints_y:keypoints_x`.

A coordinate of -1 stands for a joint that was not found.
"""

import json
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from volsynth.files import InMemory
from volsynth.poses.parsing import HALF_PIXEL, are_coordinates, check_order, refuse_constant
from volsynth.poses.pose import KeypointError, Pose

_HEAD = ["name", "keypoints_y", "keypoints_x"]


def is_head(line: str) -> bool:
    """Whether the first line of a file says that the file is a list of pose-gan."""
    return line.strip().split(":") == _HEAD


def poses(
    path: pathlib.Path | InMemory, lines: Sequence[str], wanted: str | None
) -> Iterator[Callable[[], Pose]]:
    """A parser for every line of a file after the first.

    Args:
      path: the file.
      lines: the lines of the file.
      wanted: the order of joints that the file must have; None for any.

    Raises:
      KeypointError: another order is wanted.
    """
    check_order(path, wanted, "openpose_18")
    for number, line in enumerate(lines[1:], 2):
        if line.strip():
            yield lambda li=line, n=number: _pose(path, n, li)


def _pose(path, number, line):
    where = f"{path} line {number}"
    parts = [part.strip() for part in line.split(":", 2)]
    # Lists are long; whoever mends one looks for the name of the picture.
    where = f"{where} ({parts[0]})" if parts[0] else where
    try:
        lists = [json.loads(part, parse_constant=refuse_constant) for part in parts[1:]]
    except (ValueError, RecursionError) as error:
        raise KeypointError(f"{where}: y and x must be lists of numbers ({error}).") from error
    if len(lists) != 2 or not all(isinstance(values, list) for values in lists):
        raise KeypointError(f"{where} must be NAME:[18 numbers y]:[18 numbers x].")
    # The format has y before x.
    for axis, values in zip("yx", lists):
        if not are_coordinates(values, 18):
            raise KeypointError(
                f"{where}: {axis} must be 18 numbers (openpose_18), got {len(values)} values."
            )
    y, x = np.array(lists, float)
    visible = (x != -1) & (y != -1)
    joints = np.where(visible[:, None], np.stack([x, y], axis=1) + HALF_PIXEL, 0)
    return Pose("openpose_18", visible, joints, image=parts[0], where=where)
