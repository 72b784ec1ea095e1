"""Reads and writes files of poses: our own format, and those of OpenPose, COCO and pose-gan.

docs/data.md describes our own format, JSON or CSV. Poses are in pixels of the image, x right and y
down, the centre of the top left pixel at (0.5, 0.5), or in mm in camera coordinates, or both.
OpenPose, COCO and pose-gan have (0, 0) at that centre; half a pixel is added when their files are
read.
"""

import json
import os
import pathlib
from collections.abc import Callable, Iterator

from volsynth import files
from volsynth.errors import os_errors_explained
from volsynth.files import File, InMemory
from volsynth.poses import (
    coco,
    joint_orders,
    openpose,
    parsing,
    pose_gan,
    volsynth_csv,
    volsynth_json,
)
from volsynth.poses.pose import KeypointError, Pose, to_skeleton

__all__ = ["KeypointError", "Pose", "Reject", "read", "to_skeleton", "write"]

MOST_BYTES = 1 << 28
"""The largest size of a file of poses, in bytes."""

Reject = Callable[[KeypointError], None]
"""A function that is told why a pose is left out."""

_JSON = {"format": volsynth_json, "people": openpose, "images": coco}
"""Readers of JSON by the key of an entry that only files of their format have."""


def read(
    path: str | os.PathLike[str] | InMemory,
    order: str | None = None,
    reject: Reject | None = None,
) -> list[Pose]:
    """Reads the poses of a file of any known format, or of a folder of OpenPose's files.

    Args:
      path: *.json or *.csv, or a folder, whose files are read in the order of their names.
      order: the order of joints that the poses must have; None for the one that the file names or
        its number of joints tells.
      reject: receives the error of a pose, or of a file of a folder, that is left out; None to
        raise the error instead.

    Raises:
      KeypointError: the file cannot be read, has no format that is known, or another order.
      UserError: there is no such order.
    """
    path = path if isinstance(path, InMemory) else pathlib.Path(path)
    if order is not None:
        joint_orders.find_order(order)
    poses: list[Pose] = []
    if isinstance(path, InMemory) or not path.is_dir():
        _extend(poses, _poses(path, order), reject)
        return poses
    # OpenPose pads frame numbers with zeros, so that names in order are frames in order.
    found = sorted(path.glob("*.json"))
    if not found:
        raise KeypointError(f"{path} has no *.json. Give the folder that OpenPose wrote to.")
    for file in found:
        # A file that cannot be parsed at all is one pose less, like a pose that is wrong.
        try:
            _extend(poses, _poses(file, order), reject)
        except KeypointError as error:
            _tell(error, reject)
    return poses


def write(path: str | os.PathLike[str], poses: list[Pose]) -> None:
    """Writes poses of one order in our own format, one to a line.

    Raises:
      KeypointError: they have several orders.
    """
    found = sorted({pose.order for pose in poses}) or [joint_orders.VOLSYNTH_15]
    if len(found) > 1:
        raise KeypointError(f"poses of one file have one order, got {', '.join(found)}.")
    head = {
        "format": volsynth_json.FORMAT,
        "version": volsynth_json.VERSION,
        "order": found[0],
        "joints": joint_orders.find_order(found[0]).joints,
    }
    # A line for each pose: such files can be read by people, and compared.
    lines = ",\n".join(json.dumps(volsynth_json.entry_of(pose)) for pose in poses)
    files.write_text(path, json.dumps(head)[:-1] + ', "poses": [\n' + lines + "\n]}\n")


def _tell(error, reject):
    if reject is None:
        raise error
    reject(error)


def _extend(poses, parsers, reject):
    """Adds the poses that can be parsed; each has a parser, so that one may fail alone."""
    for parse in parsers:
        try:
            poses.append(parse())
        except KeypointError as error:
            _tell(error, reject)


def _text(path: File):
    """The text of a file; the error line is that of all files of poses."""
    with os_errors_explained("read", path, KeypointError, path_first=True):
        # Looked at before reading, so that a huge file does not fill the memory.
        size = len(path.content) if isinstance(path, InMemory) else path.stat().st_size
        if size > MOST_BYTES:
            raise KeypointError(f"{path} is larger than {MOST_BYTES >> 20} MB. Split it.")
        content = path.content if isinstance(path, InMemory) else path.read_bytes()
    try:
        # Spreadsheets put a byte order mark before their CSV; it would be part of a column's name.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise KeypointError(f"{path} is not text in UTF-8.") from error


def _poses(path: File, order) -> Iterator[Callable[[], Pose]]:
    """A parser for every pose of a file."""
    text = _text(path)
    if path.suffix.lower() == ".csv":
        lines = text.splitlines()
        kind = pose_gan if lines and pose_gan.is_head(lines[0]) else volsynth_csv
        return kind.poses(path, lines, order)
    try:
        content = json.loads(text, parse_constant=parsing.refuse_constant)
    # Deeply nested brackets exhaust the parser's stack.
    except (ValueError, RecursionError) as error:
        raise KeypointError(f"{path} is not JSON ({error}).") from error
    for key, kind in _JSON.items():
        if isinstance(content, dict) and key in content:
            return kind.poses(path, content, order)
    raise KeypointError(
        f"{path} has no known format: it has none of the entries 'format' (ours), 'people' "
        "(OpenPose) and 'images' (COCO)."
    )
