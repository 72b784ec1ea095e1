"""The pictures that a study compares, from the folders of its methods, as judges see them."""

import hashlib
import io
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from volsynth import files
from volsynth.errors import UserError, os_errors_explained
from volsynth.images import reader
from volsynth.study import folders
from volsynth.study.folders import Folder

_MOST_BYTES = 32 * 2**20
_LONGEST_SIDE = 4096
_SAME_POSE = 1.0  # mm; what rounding in a file may change


class Study(NamedTuple):
    """The models and pictures that a study compares.

    Attributes:
      folders: The methods' folders, by method, in the order of their names.
      items: Ids of the items that every method has, sorted.
      size: Width and height at which every picture is shown, in pixels.
      digests: SHA-256 of every picture file that may be shown.
      identity: A text that changes with any method, item, pose or picture.
    """

    folders: dict[str, Folder]
    items: tuple[str, ...]
    size: tuple[int, int]
    digests: dict[pathlib.Path, str]
    identity: str

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods, sorted."""
        return tuple(self.folders)

    def source(self, item: str) -> pathlib.Path:
        """The file of an item's source picture."""
        # All methods have the same; the first one's is shown whichever are compared, so that it
        # tells nothing of them.
        return self._first.items[item].source

    def joints(self, item: str) -> np.ndarray:
        """Joints of an item's target pose, [15, 3], mm; NaN where unknown."""
        return self._first.items[item].joints

    @property
    def _first(self):
        return next(iter(self.folders.values()))


def open_study(
    paths: Sequence[pathlib.Path], say: Callable[[str], None] = lambda line: None
) -> Study:
    """Reads the folders of a study and looks at every picture that it may show.

    Args:
      paths: two or more folders.
      say: is told what is left out, a line at a time.

    Raises:
      UserError: whatever `folders.read` raises; two methods of one name; no item that all have;
        another pose in one method than in another; a picture that is none, or of other proportions.
    """
    by_method: dict[str, Folder] = {}
    for folder in map(folders.read, paths):
        if folder.method in by_method:
            raise UserError(
                f"{folder.path} and {by_method[folder.method].path} both hold the method "
                f'{folder.method!r}: change "method" in one {folders.NAME}.'
            )
        by_method[folder.method] = folder
    if len(by_method) < 2:
        raise UserError(f"a study compares two or more methods, got {len(by_method)}: --results.")
    # Sorted, so that a study does not depend on the order in which folders are given.
    by_method = dict(sorted(by_method.items()))
    items = _shared_items(by_method, say)
    for item in items:
        _check_same_pose(item, by_method)
    first = next(iter(by_method.values()))
    shown = [folder.items[item].generated for folder in by_method.values() for item in items]
    shown += [first.items[item].source for item in items]
    sizes, digests = {}, {}
    # All of them now: a picture that is damaged must not come up in the middle of a study. Pairs
    # share sources, each of which is read once.
    for file in dict.fromkeys(shown):
        data = _read_bytes(file)
        height, width = _decode(file, data).shape[:2]
        sizes[file] = (width, height)
        digests[file] = hashlib.sha256(data).hexdigest()
    identity = _identity(by_method, items, digests)
    return Study(by_method, items, _common_size(sizes), digests, identity)


def picture(study: Study, file: pathlib.Path) -> bytes:
    """A picture as judges see it: a PNG file of the study's size.

    Nothing but its pixels tells one method's picture from another's: whatever else the file has is
    dropped, and without compression all pictures have the same number of bytes.

    Raises:
      UserError: the file is not what it was when the study was opened.
    """
    data = _read_bytes(file)
    if hashlib.sha256(data).hexdigest() != study.digests[file]:
        raise UserError(f"{file} has changed since the study began. Put back what was there.")
    # From bare pixels: a converted picture would keep colour profiles and texts.
    image = Image.fromarray(_decode(file, data))
    if image.size != study.size:
        image = image.resize(study.size, Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=0)
    return out.getvalue()


def _shared_items(by_method, say):
    """Ids of the items that all methods have; says how many of each are left out."""
    shared = set.intersection(*(set(folder.items) for folder in by_method.values()))
    if not shared:
        raise UserError(
            f"no item is in all of {', '.join(by_method)}: collect them on the same data and split."
        )
    for method, folder in by_method.items():
        if len(folder.items) > len(shared):
            left = len(folder.items) - len(shared)
            say(f"{method}: {left} of {len(folder.items)} items are not in every folder: left out.")
    return tuple(sorted(shared))


def _check_same_pose(item: str, by_method: Mapping[str, Folder]):
    # Ids alone would not tell that two runs were scored on different versions of a data set.
    (first, one), *others = by_method.items()
    for method, folder in others:
        a, b = one.items[item].joints, folder.items[item].joints
        same = np.array_equal(np.isnan(a), np.isnan(b))
        if not same or np.nanmax(np.abs(a - b)) > _SAME_POSE:
            raise UserError(
                f"item {item} has another target pose in {method!r} than in {first!r}: "
                "they were not made from the same data."
            )


def _common_size(sizes):
    """The size of the largest picture, whose proportions all must have."""
    # The largest, so that no method's picture loses detail by being scaled down.
    largest = max(sizes, key=lambda file: sizes[file][0] * sizes[file][1])
    width, height = sizes[largest]
    for file, (w, h) in sizes.items():
        # To a pixel, for sizes are whole.
        if abs(w * height - h * width) > max(width, height):
            raise UserError(
                f"{file} is {w}x{h} and {largest} is {width}x{height}: pictures of a study must "
                "have the same proportions."
            )
    return width, height


def _identity(by_method, items, digests):
    """SHA-256 of all that judges may see and be asked about."""
    identity = hashlib.sha256()
    first = next(iter(by_method.values()))
    for method, folder in by_method.items():
        for item in items:
            # To a mm, as poses are compared: collected anew, a pose may differ by rounding.
            joints = np.round(folder.items[item].joints).tolist()
            row = [method, item, digests[folder.items[item].generated]]
            identity.update(json.dumps([*row, digests[first.items[item].source], joints]).encode())
    return identity.hexdigest()


def _read_bytes(file):
    with os_errors_explained("read", file, path_first=True), files.open_regular(file) as opened:
        data = opened.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise UserError(f"{file} is larger than {_MOST_BYTES // 2**20} MiB.")
    return data


def _decode(file, data):
    """The pixels of a picture file, uint8 [H, W, 3], by the rules for all pictures of users."""
    found = reader.read_rgb(files.InMemory(str(file), data))
    height, width = found.shape[:2]
    if max(width, height) > _LONGEST_SIDE:
        raise UserError(f"{file} has {width}x{height} pixels; allowed: {_LONGEST_SIDE} a side.")
    return found
