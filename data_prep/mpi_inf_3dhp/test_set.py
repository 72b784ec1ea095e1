"""The test set of MPI-INF-3DHP: six sequences of pictures, in the studio and outdoors.

The archive has no masks of these people. Where somebody has made them (TS1/masks/img_000001.png and
so on, white where the person is), the sequence is prepared; otherwise it is left out.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from data_prep.building import cameras
from data_prep.building.pieces import Dropped
from data_prep.building.sighting import Camera, Sighting
from data_prep.errors import SightingError
from data_prep.reading import archives, images, sequences
from data_prep.reading.archives import ArchiveError, Hdf5

SPLIT = "test_set"
"""The split of these sequences."""

NAMES = tuple(f"TS{n}" for n in range(1, 7))
"""The names of the six sequences, and of their folders."""

JOINTS = 17
"""The number of joints in the order of the test set."""

ACTIVITIES = (
    "Stand or walk", "Exercise", "Sit on chair", "Reach or crouch", "On floor", "Sports", "Misc",
)  # fmt: skip
"""The activities of the people, in the order of the numbers in the annotations."""

SITTING = ACTIVITIES.index("Sit on chair")
"""The number of the activity with a chair, from 0."""

NOT_VALID = "that the archive calls not valid"
"""The reason for which a frame is left out that the archive calls not valid."""


def _camera(
    focal: float,
    sensor: tuple[float, float],
    size: tuple[int, int],
    centre: tuple[float, float],
) -> Camera:
    """A camera in the middle of its own world.

    Args:
      focal: focal length, mm.
      sensor: width and height of the sensor, mm.
      size: width and height of the picture, pixels.
      centre: the principal point, from the middle of the sensor, mm.
    """
    scale = np.array(size) / np.array(sensor)
    cx, cy = np.array(size) / 2 + np.array(centre) * scale
    # Pixels are square: the scale is the same along both axes.
    f = focal * scale[0]
    intrinsics = np.array([[f, 0, cx], [0, f, cy], [0, 0, 1]])
    return Camera(intrinsics, np.eye(3), np.zeros(3), np.zeros(5))


STUDIO = _camera(7.32506, (10, 10), (2048, 2048), (-0.0322884, 0.0929296))
"""The camera of TS1 to TS4, with the numbers that the archive gives."""

OUTDOORS = _camera(8.770747185, (10, 5.625), (1920, 1080), (-0.104908645, 0.104899704))
"""The camera of TS5 and TS6."""


@dataclasses.dataclass(frozen=True)
class TestSequence(sequences.Sequence):
    """One of the six sequences of the test set.

    Attributes:
      folder: the folder of its files.
      masks: the folder of the masks that the user made; None where there is none.
    """

    # Its name begins with Test, and pytest would take it for a class of tests.
    __test__ = False

    folder: pathlib.Path
    masks: pathlib.Path | None

    @property
    def camera(self) -> Camera:
        """The camera that took the sequence."""
        # The archive has no file of calibration for the test set; two sequences were filmed
        # outdoors.
        return OUTDOORS if self.name in ("TS5", "TS6") else STUDIO

    def positions(self) -> Float[np.ndarray, "n 17 3"]:
        """Joints of all frames in camera coordinates, mm.

        A frame that is not valid has the joints of the last one that is, so that nobody has moved
        in it.
        """
        _, positions, valid, _ = self._annotations
        last = np.maximum.accumulate(np.where(valid, np.arange(len(valid)), np.argmax(valid)))
        return positions[last]

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
            # Frames that are not valid may hold anything, and are never used.
            archives.check_finite(path, np.where(valid[:, None, None], values[:, 0], 0))
            for values in (pixels, positions)
        )
        projected = cameras.project(
            np.where(positions, positions, 1)[valid].reshape(-1, 3), self.camera
        )
        off = np.linalg.norm(projected - pixels[valid].reshape(-1, 2), axis=-1)
        if not valid.any() or np.median(off) > sequences.MAX_REPROJECTION_PIXELS:
            raise ArchiveError(path, "has no valid frames, or 2D and 3D that do not fit the camera")
        return pixels, positions, valid, activity

    def seen(self, frames: np.ndarray) -> Iterator[Sighting | SightingError | Dropped]:
        """Yields sightings of frames that are valid and without a chair.

        See `sequences.Sequence`.
        """
        _, _, valid, activity = self._annotations
        for frame in frames:
            if not valid[frame]:
                yield Dropped(NOT_VALID)
            elif activity[frame] == SITTING:
                yield Dropped(sequences.CHAIR)
            else:
                yield self._sighting_or_error(frame)

    def _sighting_or_error(self, frame: int) -> Sighting | SightingError:
        try:
            return self._sighting(frame)
        except SightingError as error:
            return error

    def _sighting(self, frame: int) -> Sighting:
        pixels, positions, _, activity = self._annotations
        # Names of images count from 1.
        name = f"img_{frame + 1:06d}"
        file = self.folder / "imageSequence" / f"{name}.jpg"
        mask = None
        if self.masks is not None:
            mask = images.read_file(self.masks / f"{name}.png")[..., 0] >= 128
        return Sighting(
            # Without the alpha channel: the mask is a file of its own.
            image=images.read_file(file)[..., :3],
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
