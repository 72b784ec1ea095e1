"""One recording of MPI-INF-3DHP: the frames of one camera of one subject in one outfit."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from data_prep.building import cameras
from data_prep.building.pieces import Dropped
from data_prep.building.sighting import Camera, Sighting
from data_prep.mpi_inf_3dhp import annotations
from data_prep.reading import sequences, videos
from data_prep.reading.archives import ArchiveError

PARTS = ("imageSequence", "FGmasks", "ChairMasks")
"""The folders of the videos of frames, of the green screen, and of chairs."""

KNOWN_SHORT = {("S6", "Seq2", 2): 3911}
"""Videos that are shorter than their annotations in the archive itself, and their numbers of
frames."""

KNOWN_EXTRA = {("S3", "Seq1"): 1}
"""Recordings that have more annotations than frames in the archive itself, and how many more."""

CHAIR_SHARE = 0.002
"""The largest share of the person's box that a chair may cover; beyond it the frame is left out."""

BOX_MARGIN = 0.15
"""The reach of a person beyond the box of their joints, as a share of its longer side."""


@dataclasses.dataclass(frozen=True)
class Recording(sequences.Sequence):
    """One recording: the frames of one camera of one subject in one outfit.

    Attributes:
      folder: the folder of the recording.
      subject: the subject, as "S1".
      recording: "Seq1" or "Seq2"; the subject wears other clothes in each.
      number: the number of the camera.
      camera: the camera.
    """

    folder: pathlib.Path
    subject: str
    recording: str
    number: int
    camera: Camera

    def positions(self) -> Float[np.ndarray, "n 28 3"]:
        """Joints of all frames in camera coordinates, mm."""
        return self._annotations.positions

    @functools.cached_property
    def _annotations(self) -> annotations.Annotations:
        path = self.folder / "annot.mat"
        found = annotations.read(path, self.subject, self.recording)
        if self.number not in found:
            raise ArchiveError(path, f"has no annotations of camera {self.number}")
        mine = found[self.number]
        check_projection(path, self.camera, *mine)
        return mine

    def seen(self, frames: np.ndarray) -> Iterator[Sighting | Dropped]:
        """Yields sightings of some frames, without those that show a chair.

        See `sequences.Sequence`.
        """
        pixels, positions = self._annotations
        files = [self.folder / part / f"video_{self.number}.avi" for part in PARTS]
        counts = {file: videos.count_frames(file) for file in files}
        # Counted first: what one file lacks must not be paired with frames of the others.
        shortest = min(counts, key=counts.get)
        there = frames[frames < counts[shortest]]
        streams = (videos.read_frames(file, there.tolist()) for file in files)
        for frame, image, foreground, chair in zip(there, *streams):
            where = f"{files[0]}, frame {frame}"
            if not image.shape == foreground.shape == chair.shape:
                raise ArchiveError(files[0], "has frames of another size than its masks")
            box = box_of(pixels[frame], image.shape[:2])
            # The chair's mask is dark where the chair is.
            chairs = chair[..., 0] < 128
            # The box is empty: all joints lie outside of the picture.
            if not chairs[box].size:
                yield Dropped(sequences.OUTSIDE)
                continue
            if np.mean(chairs[box]) > CHAIR_SHARE:
                yield Dropped(sequences.CHAIR)
                continue
            mask = np.zeros_like(chairs)
            # The green screen shows everybody and everything before it; the person is near the
            # joints.
            mask[box] = (foreground[..., 0] >= 128)[box] & ~chairs[box]
            yield Sighting(
                image=image,
                mask=mask,
                joints_px=pixels[frame],
                joints_mm=positions[frame],
                visible=np.ones(annotations.JOINTS, bool),
                order="mpi_inf_3dhp_28",
                camera=self.camera,
                person=self.subject,
                outfit=self.recording,
                action=self.recording,
                camera_id=str(self.number),
                frame=int(frame),
                where=where,
            )
        # Last, so that the frames before the end of a short video count.
        self._check_length(shortest, counts[shortest], len(positions))

    def _check_length(self, file: pathlib.Path, found: int, wanted: int) -> None:
        """Raises ArchiveError where a video is shorter than its annotations, unless it is known."""
        known = KNOWN_SHORT.get((self.subject, self.recording, self.number)) == found
        extra = KNOWN_EXTRA.get((self.subject, self.recording), 0)
        if not known and found + extra < wanted:
            raise ArchiveError(
                file, f"has {found} frames, its annotations {wanted}; the rest is lost"
            )


def box_of(pixels: np.ndarray, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns in which a person with these joints can be; empty outside of the picture."""
    low, high = pixels.min(0), pixels.max(0)
    margin = BOX_MARGIN * np.max(high - low)
    (left, top), (right, bottom) = (
        np.clip(edge, 0, (shape[1], shape[0])).astype(int)
        for edge in (np.floor(low - margin), np.ceil(high + margin))
    )
    return slice(top, bottom), slice(left, right)


def check_projection(
    path: pathlib.Path, camera: Camera, pixels: np.ndarray, positions: np.ndarray
) -> None:
    """Checks that joints in space project to the joints in the image.

    Args:
      path: the file of both, for messages.
      camera: the camera.
      pixels: [N, 28, 2] joints in the image.
      positions: [N, 28, 3] joints in camera coordinates, mm.

    Raises:
      ArchiveError: they do not, or they lie behind the camera.
    """
    # A limb that is stretched towards a camera may pass it.
    front = positions[..., 2] > 0
    if np.mean(front) < 0.5:
        raise ArchiveError(path, "has its joints behind the camera")
    off = np.linalg.norm(cameras.project(positions[front], camera) - pixels[front], axis=-1)
    if np.median(off) > sequences.MAX_REPROJECTION_PIXELS:
        raise ArchiveError(
            path,
            f"has 2D annotations {np.median(off):.0f} pixels beside its projected 3D annotations: "
            "the calibration is not of this recording",
        )
