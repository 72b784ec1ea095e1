"""The file `metadata.xml` of Human3.6M: the cameras, and which file name is which action."""

import pathlib
import re
import xml.etree.ElementTree
from typing import NamedTuple

import numpy as np

from data_prep.building.sighting import Camera
from data_prep.reading.archives import ArchiveError, check_file

CAMERAS = ("54138969", "55011271", "58860488", "60457274")
"""The ids of the four cameras, in the order in which the file has them."""

SUBJECTS = 11
"""The number of subjects for which the file has cameras; the poses of some are not published."""

ALIASES = {"TakingPhoto": "Photo", "WalkingDog": "WalkDog"}
"""Names of actions of S1 and of some copies, and the names that the others have for them."""

_MAX_BYTES = 16 << 20
"""The largest size of the file that is read, in bytes."""


class Metadata(NamedTuple):
    """The cameras and the names of actions in `metadata.xml`.

    Attributes:
      cameras: the camera of every (subject, camera id), because cameras were moved between
        subjects.
      actions: (action, number of its performance) of every (subject, file name without ending);
        empty where the file has no such table.
    """

    cameras: dict[tuple[str, str], Camera]
    actions: dict[tuple[str, str], tuple[str, str]]

    def action(self, subject: str, name: str) -> str:
        """The action of a subject in files of this name, as "Walking 2".

        Two performances have names like "Walking 1" and "Walking 2" or "Walking" and "Walking 1",
        by subject and action; the table says which is which. Without the table the name itself is
        used.
        """
        # What the name itself says, for copies whose file has no table.
        plain, _, number = name.partition(" ")
        action, number = self.actions.get((subject, name), (plain, number))
        return " ".join(filter(None, (ALIASES.get(action, action), number)))


def find(source: pathlib.Path) -> pathlib.Path:
    """Finds the `metadata.xml` of an archive.

    It is in the archive's folder, or in that of the official code beside it.

    Raises:
      ArchiveError: there is none.
    """
    for pattern in ("metadata.xml", "Release-v*/metadata.xml", "Release-v*/H36M/metadata.xml"):
        found = sorted(source.glob(pattern))
        if found:
            # Sorted by name, the last one is of the newest release.
            return found[-1]
    raise ArchiveError(source / "metadata.xml", "is missing; the official code has it")


def read(path: pathlib.Path) -> Metadata:
    """Reads the file `metadata.xml`.

    Raises:
      ArchiveError: the file is missing, is no XML, or lacks the cameras.
    """
    text = check_file(path, _MAX_BYTES).read_bytes()
    # Entities can be made to grow without limit, or to read other files.
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise ArchiveError(path, "declares entities, which are not read")
    try:
        root = xml.etree.ElementTree.fromstring(text)
    except xml.etree.ElementTree.ParseError as error:
        raise ArchiveError(path, f"is no XML ({error})") from None
    return Metadata(_cameras(path, root.findtext("w0")), _actions(root))


def _cameras(path: pathlib.Path, text: str | None) -> dict[tuple[str, str], Camera]:
    """The cameras in the vector w0: extrinsics of all cameras and subjects, then intrinsics."""
    try:
        # The vector is written as MATLAB prints it, with brackets, commas or line breaks.
        numbers = np.array([float(n) for n in re.split(r"[\s,;]+", (text or "").strip(" \n\t[]"))])
    except ValueError:
        numbers = np.zeros(0)
    # Six numbers for every camera and subject, then nine for every camera: 300.
    each = len(CAMERAS) * SUBJECTS * 6
    if numbers.shape != (each + len(CAMERAS) * 9,) or not np.all(np.isfinite(numbers)):
        raise ArchiveError(path, "has no vector w0 of 300 numbers")
    extrinsics = numbers[:each].reshape(len(CAMERAS), SUBJECTS, 6)
    intrinsics = numbers[each:].reshape(len(CAMERAS), 9)
    return {
        (f"S{subject + 1}", name): camera(extrinsics[c, subject], intrinsics[c])
        for c, name in enumerate(CAMERAS)
        for subject in range(SUBJECTS)
    }


def camera(extrinsics: np.ndarray, intrinsics: np.ndarray) -> Camera:
    """A camera from its numbers in w0.

    Args:
      extrinsics: [6] angles around x, y and z (rad), R = Rx Ry Rz; then the position in the world
        (mm).
      intrinsics: [9] focal lengths, principal point (pixels), k1, k2, k3, p1, p2.
    """
    focal, centre = intrinsics[:2], intrinsics[2:4]
    return Camera(
        intrinsics=np.array([[focal[0], 0, centre[0]], [0, focal[1], centre[1]], [0, 0, 1]]),
        rotation=rotation(*extrinsics[:3]),
        position=extrinsics[3:].copy(),
        distortion=intrinsics[4:].copy(),
        model="human36m",
    )


def rotation(x: float, y: float, z: float) -> np.ndarray:
    """The rotation matrix R = Rx Ry Rz [3, 3] of three angles (rad)."""
    (cx, cy, cz), (sx, sy, sz) = np.cos([x, y, z]), np.sin([x, y, z])
    around_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    around_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    around_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return around_x @ around_y @ around_z


def _actions(root: xml.etree.ElementTree.Element) -> dict[tuple[str, str], tuple[str, str]]:
    """The table of file names; it has a row for each performance, a column for each subject."""
    rows = [[(cell.text or "").strip() for cell in row] for row in root.iterfind("mapping/tr")]
    return {
        # The number in a file name and the number of the performance differ by subject.
        (subject, name): (name.partition(" ")[0], performance)
        for _, performance, *names in (row for row in rows[1:] if len(row) > 2)
        for subject, name in zip(rows[0][2:], names)
        if name
    }
