"""Reading `camera.calibration` of MPI-INF-3DHP: a text with a block of lines for each camera."""

import pathlib

import numpy as np

from data_prep.building.sighting import Camera
from data_prep.reading.archives import ArchiveError, check_file

_FIRST_LINE = "Skeletool Camera Calibration File"
"""The line with which a file of calibrations begins."""

_MAX_BYTES = 1 << 20
"""The largest size of the file that is read, in bytes."""


def read(path: pathlib.Path) -> dict[int, Camera]:
    """Reads the cameras, by their numbers.

    Raises:
      ArchiveError: the file is missing, or no such text, or a camera in it is incomplete.
    """
    try:
        lines = check_file(path, _MAX_BYTES).read_text("ascii").splitlines()
    except UnicodeDecodeError:
        raise ArchiveError(path, "is no text") from None
    if not lines or not lines[0].startswith(_FIRST_LINE):
        raise ArchiveError(path, f"does not start with {_FIRST_LINE!r}")
    blocks: list[dict[str, str]] = []
    for line in lines[1:]:
        key, _, value = line.strip().partition(" ")
        if key == "name":
            blocks.append({})
        # Only the head of the file may stand before the first camera.
        if key and not blocks:
            raise ArchiveError(path, f"has {key!r} before the first camera's name")
        if key:
            blocks[-1][key] = value
    return dict(_camera(path, block) for block in blocks)


def _camera(path: pathlib.Path, block: dict[str, str]) -> tuple[int, Camera]:
    name = block["name"].strip()
    if not name.isdecimal():
        raise ArchiveError(path, f"has a camera named {name!r}, not a number")
    intrinsic, extrinsic = (_matrix(path, block, name, key) for key in ("intrinsic", "extrinsic"))
    rotation = extrinsic[:3, :3]
    # Loosely, because the numbers are rounded in the text.
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3):
        raise ArchiveError(path, f"has no rotation in 'extrinsic' of camera {name}")
    if block.get("radial", "0").split() != ["0"]:
        raise ArchiveError(path, f"has a lens for camera {name}, which is not understood")
    # The file has X_cam = R X + t.
    position = -rotation.T @ extrinsic[:3, 3]
    return int(name), Camera(intrinsic[:3, :3], rotation, position, np.zeros(5))


def _matrix(path: pathlib.Path, block: dict[str, str], name: str, key: str) -> np.ndarray:
    try:
        numbers = np.array([float(n) for n in block.get(key, "").split()])
    except ValueError:
        numbers = np.zeros(0)
    if numbers.shape != (16,) or not np.all(np.isfinite(numbers)):
        raise ArchiveError(path, f"has no 16 numbers in {key!r} of camera {name}")
    return numbers.reshape(4, 4)
