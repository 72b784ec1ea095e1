"""Folders of pictures that a study compares: one for every method, each with a `study.json`.

    {"format": 1, "method": "volumetric", "items": [{"id": "test-000003-000007",
      "generated": "generated/….png", "source": "source/….png",
      "target_joints": [[x, y, z], …]}, …]}

Paths are relative and stay in the folder. Joints are those of `volsynth.skeleton`, in mm along
the axes of the camera (x right, y down, z away from it), from any origin; null where one is
unknown. The files come from anywhere, so nothing in them is trusted.
"""

import json
import math
import pathlib
import re
from typing import Any, NamedTuple

import numpy as np

from volsynth import files
from volsynth.errors import UserError, os_errors_explained
from volsynth.skeleton import NUM_JOINTS

NAME = "study.json"
"""The name of the file that describes a folder."""

FORMAT = 1
"""The version of that file's format."""

_MOST_BYTES = 64 * 2**20
_MOST_ITEMS = 100_000
_LONGEST_PATH = 1000
_FARTHEST = 1e6  # mm
# Names stand in tables of Markdown, which "|" or a line break would break.
_METHOD = re.compile(r"[\w .,:+()=-]{1,80}")
_ID = re.compile(r"[\w.:-]{1,200}")


class Item(NamedTuple):
    """One task that all methods had: a source picture, a target pose, and what a method made.

    Attributes:
      generated: File of the picture that the method made.
      source: File of the source picture.
      joints: Joints of the target pose, [15, 3], mm; NaN where unknown.
    """

    generated: pathlib.Path
    source: pathlib.Path
    joints: np.ndarray


class Folder(NamedTuple):
    """The pictures of one method.

    Attributes:
      method: Name of the method.
      path: The folder.
      items: The items by their ids.
    """

    method: str
    path: pathlib.Path
    items: dict[str, Item]


def read(path: pathlib.Path) -> Folder:
    """Reads the description of one folder; its pictures are not opened.

    Raises:
      UserError: there is no `study.json`, it is not as described above, or it names a file outside
        of the folder.
    """
    file = path / NAME
    found = _load(file)
    if found.get("format") != FORMAT:
        # The value may be of any length: an error line cites the beginning only, here and below.
        raise UserError(f'{file}: "format" is {found.get("format")!r:.40}; allowed: {FORMAT}.')
    method = check_method(found.get("method"), str(file))
    entries = found.get("items")
    if not isinstance(entries, list) or not 1 <= len(entries) <= _MOST_ITEMS:
        raise UserError(f'{file}: "items" must be a list of 1 to {_MOST_ITEMS} items.')
    items = {}
    for number, entry in enumerate(entries):
        where = f"{file}: item {number}"
        if not isinstance(entry, dict):
            raise UserError(f"{where} must be an object.")
        name = entry.get("id")
        if not isinstance(name, str) or not _ID.fullmatch(name):
            raise UserError(
                f'{where}: "id" must be of letters, digits, and . : - _, 200 at most, '
                f"got {name!r:.60}."
            )
        if name in items:
            raise UserError(f"{where}: the id {name!r} is there twice.")
        items[name] = Item(
            _path_inside(path, entry.get("generated"), f'{where}: "generated"'),
            _path_inside(path, entry.get("source"), f'{where}: "source"'),
            _joints(entry.get("target_joints"), f'{where}: "target_joints"'),
        )
    return Folder(method, path, items)


def check_method(name: Any, where: str) -> str:
    """Returns a method's name if it is one that can be shown in tables.

    Args:
      name: the name, which may be anything.
      where: the beginning of the error line.

    Raises:
      UserError: it is no such name.
    """
    if not isinstance(name, str) or not _METHOD.fullmatch(name):
        raise UserError(
            f'{where}: "method" must be a name of letters, digits, spaces and . , : + ( ) = - _, '
            f"80 at most, got {name!r:.60}."
        )
    return name


def _load(file):
    """The JSON object in a file."""
    with os_errors_explained("read", file, path_first=True):
        try:
            with files.open_regular(file) as opened:
                # One byte more tells a file that is too large from one that just is not.
                data = opened.read(_MOST_BYTES + 1)
        except FileNotFoundError as error:
            raise UserError(
                f"{file.parent} has no {NAME}. Make a folder by: volsynth study collect."
            ) from error
    if len(data) > _MOST_BYTES:
        raise UserError(f"{file} is larger than {_MOST_BYTES // 2**20} MiB.")
    try:
        found = json.loads(data)
    # RecursionError is what deeply nested JSON raises.
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UserError(f"{file} is not a JSON object.")
    return found


def _path_inside(folder, name, where):
    """The path of a file, which must lie in the folder even after links are followed."""
    # Paths with a NUL raise ValueError in every function of the system.
    if not isinstance(name, str) or not name or "\0" in name or len(name) > _LONGEST_PATH:
        raise UserError(f"{where} must be the path of a picture, got {name!r:.60}.")
    path = folder / name
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
    # Links that lead in a circle are a RuntimeError in some versions of Python.
    except (OSError, RuntimeError):
        inside = False
    # An absolute path into the folder would be right on one machine only.
    if pathlib.PurePath(name).is_absolute() or not inside:
        raise UserError(f"{where} points outside of its folder: {name!r:.60}.")
    return path


def _joints(values, where):
    """Joints [15, 3], NaN where unknown."""
    # A list of another length becomes one row that is no joint, for the error below.
    rows = values if isinstance(values, list) and len(values) == NUM_JOINTS else [0]
    joints = [[math.nan] * 3 if row is None else row for row in rows]
    for row in joints:
        numbers = row if isinstance(row, list) and len(row) == 3 else [None]
        # True and False are integers to Python.
        if any(isinstance(n, bool) or not isinstance(n, (int, float)) for n in numbers):
            raise UserError(f"{where} must be {NUM_JOINTS} joints, each [x, y, z] or null.")
        if any(abs(n) > _FARTHEST or math.isinf(n) for n in numbers):
            raise UserError(f"{where}: a joint is farther away than {_FARTHEST:g} mm.")
    found = np.array(joints, float)
    # One joint is no pose that anybody could judge.
    if np.sum(np.all(np.isfinite(found), axis=1)) < 2:
        raise UserError(f"{where}: fewer than two joints are known.")
    return found
