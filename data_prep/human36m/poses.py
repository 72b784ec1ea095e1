"""Reading files of poses of Human3.6M: the archive's own CDF files, and exports of them."""

import pathlib
import re

import numpy as np

from data_prep.reading import archives
from data_prep.reading.archives import ArchiveError

JOINTS = 32
"""The number of joints in the archive's order."""

ENDINGS = (".cdf.mat", ".cdf", ".mat", ".h5")
"""The endings of files of poses, those that contain others first."""

_VARIABLES = ("Pose", "data", "3D_positions", "2D_positions")
"""Names under which exports keep the poses."""

_NAME = re.compile(r"[A-Za-z]+(?:[ _]\d)?(?:\.\d{8})?")
"""The form of a name: an action, a number of its performance, a camera."""


def listed(folder: pathlib.Path, endings: tuple[str, ...] = ENDINGS) -> dict[str, pathlib.Path]:
    """The files of poses in a folder by their names, as "Walking 1" or "Walking 1.54138969".

    Exports have an underscore where the archive has a space. Names that start with an underscore
    are not of actions, and left out.

    Args:
      folder: the folder.
      endings: which files are listed; of two files of one name, the one whose ending comes first.
    """
    found: dict[str, pathlib.Path] = {}
    for ending in endings:
        for path in sorted(folder.glob(f"*{ending}")):
            name = path.name[: -len(ending)]
            if _NAME.fullmatch(name):
                found.setdefault(name.replace("_", " "), path)
    return found


def read(path: pathlib.Path, axes: int) -> np.ndarray:
    """Reads the poses of all frames as [N, 32, axes] float64.

    Args:
      path: a CDF, MAT or HDF5 file.
      axes: 3 for positions (mm), 2 for pixels.

    Raises:
      ArchiveError: the file is missing or damaged, or holds something else.
    """
    # Everything else is told apart by content: MAT files since version 7.3 are HDF5.
    if path.suffix == ".cdf":
        values = archives.read_cdf(path, "Pose")
    else:
        found = list(archives.read_mat(path, _VARIABLES).values())
        if not found:
            raise ArchiveError(path, f"has none of the variables {', '.join(_VARIABLES)}")
        # An export of what MATLAB's cdfread returns: one cell.
        values = found[0][0] if isinstance(found[0], list) and found[0] else found[0]
    values = np.asarray(values)
    numbers = JOINTS * axes
    frames = values.size // numbers
    # Files of one frame may have lost their first axis, others have extra axes of length one.
    if values.size == 0 or [n for n in values.shape if n != 1] not in (
        [frames, numbers],
        [numbers] if frames == 1 else [frames, numbers],
    ):
        raise ArchiveError(path, f"has an array {values.shape}, not frames x {numbers} numbers")
    return archives.check_finite(path, values).reshape(frames, JOINTS, axes)
