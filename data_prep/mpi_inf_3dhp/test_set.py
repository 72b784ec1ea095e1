"""The test set of MPI-INF-3DHP: six sequences of pictures, in the studio and outdoors.

The archive has no masks of these people. Where one made them (TS1/masks/img_000001.png and so on,
white where the person is), the sequence is prepared; else it is left out.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float
from PIL import Image

from data_prep import archives, sequences
from data_prep.archives import ArchiveError, Hdf5, existing
from data_prep.sighting import Camera, Sighting
from volsynth.ops import geometry

SPLIT = "test_set"
NAMES = tuple(f"TS{n}" for n in range(1, 7))
JOINTS = 17
ACTIVITIES = (
    "Stand or walk", "Exercise", "Sit on chair", "Reach or crouch", "On floor", "Sports", "Misc",
)  # fmt: skip
CHAIR = ACTIVITIES.index("Sit on chair")
"""Left out, as chairs are elsewhere."""

MAX_SIDE = 4096
TOLERANCE = 5.0
"""Pixels between annot2 and the projected annot3 from which on a picture cannot be used."""

_MAX_BYTES = 64 << 20


def _camera(focal: float, sensor: tuple[float, float], size: tuple[int, int], centre) -> Camera:
    """A camera in the middle of its own world; lengths in mm of its sensor, size in pixels."""
    scale = np.array(size) / np.array(sensor)
    cx, cy = np.array(size) / 2 + np.array(centre) * scale
    f = focal * scale[0]
    intrinsics = np.array([[f, 0, cx], [0, f, cy], [0, 0, 1]])
    return Camera(intrinsics, np.eye(3), np.zeros(3), np.zeros(5))


STUDIO = _camera(7.32506, (10, 10), (2048, 2048), (-0.0322884, 0.0929296))
OUTDOORS = _camera(8.770747185, (10, 5.625), (1920, 1080), (-0.104908645, 0.104899704))


@dataclasses.dataclass(frozen=True)
class TestSequence(sequences.Sequence):
    """One of the six.

    Attributes:
      name: as "TS1".
      split: a split of its own.
      folder: of its files.
      masks: folder of the masks that the user made; None where there is none.
    """

    __test__ = False

    name: str
    split: str
    folder: pathlib.Path
    masks: pathlib.Path | None

    @property
    def camera(self) -> Camera:
        """The one that took it."""
        return OUTDOORS if self.name in ("TS5", "TS6") else STUDIO

    def positions(self) -> Float[np.ndarray, "n 17 3"]:
        """Joints of all frames in camera coordinates, mm; zero where the frame is not valid."""
        return self._annotations[1]

    @functools.cached_property
    def _annotations(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Pixels, positions, validity and activity (from 0) of all frames."""
        path = self.folder / "annot_data.mat"
        with Hdf5(path) as file:
            # As the file has them: the frames come first.
            pixels, positions, valid, activity = (
                file.array(name).T
                for name in ("annot2", "annot3", "valid_frame", "activity_annotation")
            )
        valid, activity = np.ravel(valid) > 0, np.ravel(activity).astype(int) - 1
        frames = len(valid)
        for values, axes in ((pixels, 2), (positions, 3)):
            if values.shape != (frames, 1, JOINTS, axes):
                raise ArchiveError(path, f"has {values.shape}, not {frames} x 1 x 17 x {axes}")
        if len(activity) != frames or not np.all((activity >= 0) & (activity < len(ACTIVITIES))):
            raise ArchiveError(path, "has activities other than 1 to 7, or of other frames")
        pixels, positions = (
            archives.finite(path, np.where(valid[:, None, None], values[:, 0], 0))
            for values in (pixels, positions)
        )
        return pixels, positions, valid, activity

    def sightings(self, frames: np.ndarray) -> Iterator[Sighting]:
        """Some frames, of those that are valid and without a chair."""
        pixels, positions, valid, activity = self._annotations
        for frame in frames[valid[frames] & (activity[frames] != CHAIR)]:
            file = self.folder / "imageSequence" / f"img_{frame + 1:06d}.jpg"
            image = _picture(file, "RGB")
            projected = geometry.project(positions[frame], self.camera.intrinsics)
            if np.median(np.linalg.norm(projected - pixels[frame], axis=-1)) > TOLERANCE:
                raise ArchiveError(self.folder / "annot_data.mat", f"is wrong at frame {frame}")
            mask = None
            if self.masks is not None:
                mask = _picture(self.masks / f"img_{frame + 1:06d}.png", "L") >= 128
                if mask.shape != image.shape[:2]:
                    raise ArchiveError(
                        self.masks / f"img_{frame + 1:06d}.png", "is of another size"
                    )
            yield Sighting(
                image=image,
                mask=mask,
                joints_px=pixels[frame],
                joints_mm=positions[frame],
                visible=np.ones(JOINTS, bool),
                order="mpi_inf_3dhp_17",
                camera=self.camera,
                person=self.name,
                outfit="a",
                action=ACTIVITIES[activity[frame]],
                camera_id="0",
                frame=int(frame),
                where=str(file),
            )


def _picture(path: pathlib.Path, mode: str) -> np.ndarray:
    existing(path, _MAX_BYTES)
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as image:
            if max(image.size) > MAX_SIDE:
                raise ArchiveError(path, f"is {image.size}; up to {MAX_SIDE} pixels are read")
            return np.asarray(image.convert(mode))
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, ArchiveError):
            raise
        raise ArchiveError(path, f"cannot be decoded ({str(error)[:100]})") from None


def find(source: pathlib.Path) -> sequences.Archive:
    """What there is of the test set."""
    found, faults, notes = [], [], []
    for name in NAMES:
        for folder in (source / name, source / "mpi_inf_3dhp_test_set" / name):
            if not folder.is_dir():
                continue
            if not (folder / "masks").is_dir():
                notes.append(f"{name}: left out, there is no folder {folder / 'masks'}")
            elif not (folder / "annot_data.mat").is_file():
                faults.append(ArchiveError(folder / "annot_data.mat", "is missing"))
            else:
                found.append(TestSequence(name, SPLIT, folder, folder / "masks"))
            break
    return sequences.Archive(found, faults, notes)
