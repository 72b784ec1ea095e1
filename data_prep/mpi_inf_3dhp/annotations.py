"""Reading `annot.mat` of MPI-INF-3DHP: joints of fourteen cameras, with known faults corrected."""

import pathlib
from typing import NamedTuple

import numpy as np

from data_prep.reading import archives
from data_prep.reading.archives import ArchiveError

JOINTS = 28
"""The number of joints in the archive's order."""

FLIPPED = {("S4", "Seq2"): slice(3759, 5853)}
"""The frames in which the annotations have left and right exchanged, by (subject, recording)."""

LEFT = (8, 9, 10, 11, 12, 18, 19, 20, 21, 22)
"""The numbers of the joints of the left side; each has its partner in `RIGHT` at the same place."""

RIGHT = (13, 14, 15, 16, 17, 23, 24, 25, 26, 27)
"""The numbers of the joints of the right side."""


class Annotations(NamedTuple):
    """The joints of all frames in the view of one camera.

    Attributes:
      pixels: [N, 28, 2] in pixels of the frame.
      positions: [N, 28, 3] in camera coordinates, mm.
    """

    pixels: np.ndarray
    positions: np.ndarray


def read(path: pathlib.Path, subject: str, sequence: str) -> dict[int, Annotations]:
    """Reads the annotations of every camera, by its number; row i belongs to frame i of the video.

    Raises:
      ArchiveError: the file is missing or damaged, or holds something else.
    """
    found = archives.read_mat(path, ("annot2", "annot3", "cameras", "frames"))
    # `univ_annot3` is not read: it is of a body of standard size and does not project to the image.
    for name in ("annot2", "annot3"):
        if not isinstance(found.get(name), list) or not found[name]:
            raise ArchiveError(path, f"has no cells {name!r}")
    pixels = [_joints(path, cell, 2) for cell in found["annot2"]]
    positions = [_joints(path, cell, 3) for cell in found["annot3"]]
    # Without the variable the cells are those of the cameras from 0 on.
    cameras = np.ravel(found.get("cameras", np.arange(len(pixels)))).astype(int).tolist()
    if len({len(pixels), len(positions), len(cameras), len(set(cameras))}) > 1:
        raise ArchiveError(path, "has different numbers of cameras in its variables")
    counts = {len(cell) for cell in pixels + positions}
    if len(counts) > 1:
        raise ArchiveError(path, f"has different numbers of frames: {sorted(counts)}")
    _check_frames(path, found.get("frames"), counts.pop())
    flipped = FLIPPED.get((subject, sequence), slice(0, 0))
    for cell in pixels + positions:
        # Pixels and positions alike: both come from one tracker.
        cell[flipped] = cell[flipped][:, _exchanged()]
    return {c: Annotations(*both) for c, *both in zip(cameras, pixels, positions)}


def _joints(path: pathlib.Path, values: np.ndarray, axes: int) -> np.ndarray:
    if values.ndim != 2 or values.shape[1] != JOINTS * axes:
        raise ArchiveError(path, f"has an array {values.shape}, not frames x {JOINTS * axes}")
    return archives.check_finite(path, values).reshape(-1, JOINTS, axes)


def _check_frames(path: pathlib.Path, frames: np.ndarray | None, count: int) -> None:
    """Raises ArchiveError where the rows are not those of all frames from the first one on."""
    if frames is None:
        return
    frames = np.ravel(frames).astype(np.int64)
    # MATLAB counts from 1, the frames of some files from 0.
    if len(frames) != count or frames[0] not in (0, 1) or np.any(np.diff(frames) != 1):
        raise ArchiveError(path, "has rows that are not those of the frames one after another")


def _exchanged() -> list[int]:
    """The order of joints in which left and right have changed places."""
    order = list(range(JOINTS))
    for left, right in zip(LEFT, RIGHT):
        order[left], order[right] = right, left
    return order
