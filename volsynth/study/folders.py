"""Folders of pictures that a study compares: one for every method, each with a `study.json`.

    {"format": 1, "method": "volumetric", "items": [{"id": "test-000003-000007",
      "generated": "generated/….png", "source": "source/….png",
      "target_joints": [[x, y, z], …]}, …]}

Paths are relative and stay in the folder. Joints are those of `volsynth.skeleton`, in mm along
the axes of the camera (x right, y down, z away from it), from any origin; null where one is
unknown. The files come from anywhere, so nothing in them is trusted.
"""

import hashlib
import io
import json
import math
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from volsynth import files
from volsynth.errors import UserError
from volsynth.images import reader
from volsynth.skeleton import NUM_JOINTS

NAME = "study.json"
FORMAT = 1

_MOST_BYTES = 64 * 2**20
_MOST_ITEMS = 100_000
_LARGEST_PICTURE = 32 * 2**20
_LONGEST_SIDE = 4096
_FARTHEST = 1e6  # mm
_SAME_POSE = 1.0  # mm; what rounding in a file may change
_METHOD = re.compile(r"[\w .,:+()=-]{1,80}")
_ID = re.compile(r"[\w.:-]{1,200}")


class Item(NamedTuple):
    """One task of every method: a source, a pose, and what the method made of them.

    Attributes:
      generated: picture file.
      source: picture file.
      joints: [15, 3], mm; NaN where unknown.
    """

    generated: pathlib.Path
    source: pathlib.Path
    joints: np.ndarray


class Folder(NamedTuple):
    """One method's items, by their ids."""

    method: str
    path: pathlib.Path
    items: dict[str, Item]


class Study(NamedTuple):
    """What is compared.

    Attributes:
      folders: by method, in the order of their names.
      items: ids of the items that every method has, sorted.
      size: (width, height) at which every picture is shown.
      digests: SHA-256 of every picture file that may be shown.
      identity: changes with any method, item, pose or picture.
    """

    folders: dict[str, Folder]
    items: tuple[str, ...]
    size: tuple[int, int]
    digests: dict[pathlib.Path, str]
    identity: str

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(self.folders)

    def source(self, item: str) -> pathlib.Path:
        """All methods have the same; it is taken of the first."""
        return next(iter(self.folders.values())).items[item].source

    def joints(self, item: str) -> np.ndarray:
        return next(iter(self.folders.values())).items[item].joints


def read(path: pathlib.Path) -> Folder:
    """Reads one folder; its pictures are not opened.

    Raises:
      UserError: there is no `study.json`, it is not as described above, or it names a file outside
        of the folder.
    """
    file = path / NAME
    found = _load(file)
    if found.get("format") != FORMAT:
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
            _inside(path, entry.get("generated"), f'{where}: "generated"'),
            _inside(path, entry.get("source"), f'{where}: "source"'),
            _joints(entry.get("target_joints"), f'{where}: "target_joints"'),
        )
    return Folder(method, path, items)


def check_method(name: Any, where: str) -> str:
    """A method's name, if it is one that can be shown in tables.

    Raises:
      UserError: it is not.
    """
    if not isinstance(name, str) or not _METHOD.fullmatch(name):
        raise UserError(
            f'{where}: "method" must be a name of letters, digits, spaces and . , : + ( ) = - _, '
            f"80 at most, got {name!r:.60}."
        )
    return name


def open_study(
    paths: Sequence[pathlib.Path], say: Callable[[str], None] = lambda line: None
) -> Study:
    """Reads the folders of a study and looks at every picture that it may show.

    Args:
      paths: of two or more folders.
      say: is told what is left out.

    Raises:
      UserError: whatever `read` raises; two methods of one name; no item that all have; another
        pose in one method than in another; a picture that is none, or of other proportions.
    """
    folders = {}
    for folder in map(read, paths):
        if folder.method in folders:
            raise UserError(
                f"{folder.path} and {folders[folder.method].path} both hold the method "
                f'{folder.method!r}: change "method" in one {NAME}.'
            )
        folders[folder.method] = folder
    if len(folders) < 2:
        raise UserError(f"a study compares two or more methods, got {len(folders)}: --results.")
    folders = dict(sorted(folders.items()))
    items = _shared(folders, say)
    for item in items:
        _check_same_pose(item, folders)
    first = next(iter(folders.values()))
    shown = [folder.items[item].generated for folder in folders.values() for item in items]
    shown += [first.items[item].source for item in items]
    sizes, digests = {}, {}
    for file in dict.fromkeys(shown):
        data = _bytes(file)
        height, width = _opened(file, data).shape[:2]
        sizes[file] = (width, height)
        digests[file] = hashlib.sha256(data).hexdigest()
    largest = max(sizes, key=lambda file: sizes[file][0] * sizes[file][1])
    width, height = sizes[largest]
    for file, (w, h) in sizes.items():
        # To a pixel, for sizes are whole.
        if abs(w * height - h * width) > max(width, height):
            raise UserError(
                f"{file} is {w}x{h} and {largest} is {width}x{height}: pictures of a study must "
                "have the same proportions."
            )
    identity = hashlib.sha256()
    for method, folder in folders.items():
        for item in items:
            joints = np.round(folder.items[item].joints).tolist()
            row = [method, item, digests[folder.items[item].generated]]
            identity.update(json.dumps([*row, digests[first.items[item].source], joints]).encode())
    return Study(folders, items, (width, height), digests, identity.hexdigest())


def picture(study: Study, file: pathlib.Path) -> bytes:
    """A picture as it is shown: a PNG of the study's size.

    Nothing but its pixels tells one method's picture from another's: whatever else the file has is
    dropped, and without compression all pictures have the same number of bytes.

    Raises:
      UserError: the file is not what it was when the study was opened.
    """
    data = _bytes(file)
    if hashlib.sha256(data).hexdigest() != study.digests[file]:
        raise UserError(f"{file} has changed since the study began. Put back what was there.")
    # From bare pixels: a converted picture would keep colour profiles and texts.
    image = Image.fromarray(_opened(file, data))
    if image.size != study.size:
        image = image.resize(study.size, Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=0)
    return out.getvalue()


def _load(file):
    try:
        with files.open_regular(file) as opened:
            data = opened.read(_MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise UserError(
            f"{file.parent} has no {NAME}. Make a folder by: volsynth study collect."
        ) from error
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from error
    if len(data) > _MOST_BYTES:
        raise UserError(f"{file} is larger than {_MOST_BYTES // 2**20} MiB.")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UserError(f"{file} is not a JSON object.")
    return found


def _inside(folder, name, where):
    """The path of a file, which must lie in the folder even after links are followed."""
    if not isinstance(name, str) or not name or "\0" in name or len(name) > 1000:
        raise UserError(f"{where} must be the path of a picture, got {name!r:.60}.")
    path = folder / name
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):
        inside = False
    if pathlib.PurePath(name).is_absolute() or not inside:
        raise UserError(f"{where} points outside of its folder: {name!r:.60}.")
    return path


def _joints(values, where):
    """[15, 3], NaN where unknown."""
    rows = values if isinstance(values, list) and len(values) == NUM_JOINTS else [0]
    joints = [[math.nan] * 3 if row is None else row for row in rows]
    for row in joints:
        numbers = row if isinstance(row, list) and len(row) == 3 else [None]
        if any(isinstance(n, bool) or not isinstance(n, (int, float)) for n in numbers):
            raise UserError(f"{where} must be {NUM_JOINTS} joints, each [x, y, z] or null.")
        if any(abs(n) > _FARTHEST or math.isinf(n) for n in numbers):
            raise UserError(f"{where}: a joint is farther away than {_FARTHEST:g} mm.")
    found = np.array(joints, float)
    if np.sum(np.all(np.isfinite(found), axis=1)) < 2:
        raise UserError(f"{where}: fewer than two joints are known.")
    return found


def _shared(folders, say):
    """Ids of the items that all methods have; says how many of each are left out."""
    shared = set.intersection(*(set(folder.items) for folder in folders.values()))
    if not shared:
        raise UserError(
            f"no item is in all of {', '.join(folders)}: collect them on the same data and split."
        )
    for method, folder in folders.items():
        if len(folder.items) > len(shared):
            left = len(folder.items) - len(shared)
            say(f"{method}: {left} of {len(folder.items)} items are not in every folder: left out.")
    return tuple(sorted(shared))


def _check_same_pose(item: str, folders: Mapping[str, Folder]):
    (first, one), *others = folders.items()
    for method, folder in others:
        a, b = one.items[item].joints, folder.items[item].joints
        same = np.array_equal(np.isnan(a), np.isnan(b))
        if not same or np.nanmax(np.abs(a - b)) > _SAME_POSE:
            raise UserError(
                f"item {item} has another target pose in {method!r} than in {first!r}: "
                "they were not made from the same data."
            )


def _bytes(file):
    try:
        with files.open_regular(file) as opened:
            data = opened.read(_LARGEST_PICTURE + 1)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from error
    if len(data) > _LARGEST_PICTURE:
        raise UserError(f"{file} is larger than {_LARGEST_PICTURE // 2**20} MiB.")
    return data


def _opened(file, data):
    """The pixels, uint8 [H, W, 3], by the rules for all pictures that people bring."""
    found = reader.read_rgb(files.InMemory(str(file), data))
    height, width = found.shape[:2]
    if max(width, height) > _LONGEST_SIDE:
        raise UserError(f"{file} has {width}x{height} pixels; allowed: {_LONGEST_SIDE} a side.")
    return found
