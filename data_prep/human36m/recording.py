"""What one camera of Human3.6M saw of one performance."""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float

from data_prep.building import cameras
from data_prep.building.sighting import Camera, Sighting
from data_prep.human36m import poses
from data_prep.reading import sequences, videos
from data_prep.reading.archives import ArchiveError, Hdf5

BOX_MARGIN = 0.1
"""Boxes are those of the joints; the person reaches beyond by up to so much of the longer side."""

TOLERANCE = 5.0
"""Pixels between the published projections and ours from which on the cameras must be wrong."""

_PELVIS = 0


@dataclasses.dataclass(frozen=True)
class Recording(sequences.Sequence):
    """What one camera saw of one performance.

    Attributes:
      subject: as "S1".
      action: what the person does, as "Walking 2".
      camera_id: of the camera.
      camera: its numbers.
      positions_file: joints in the world, or in camera coordinates if `mono`.
      mono: whether these are camera coordinates.
      pixels_file: the published projections; None where the archive lacks them.
      video: the frames.
      masks_file: the person's silhouette in every frame.
      boxes_file: a box around the person in every frame; None where the archive lacks them.
      shift: to add to world coordinates, mm.
    """

    subject: str
    action: str
    camera_id: str
    camera: Camera
    positions_file: pathlib.Path
    mono: bool
    pixels_file: pathlib.Path | None
    video: pathlib.Path
    masks_file: pathlib.Path
    boxes_file: pathlib.Path | None
    shift: np.ndarray

    def positions(self) -> Float[np.ndarray, "n 32 3"]:
        """Joints of all frames in camera coordinates, mm."""
        return self._joints

    @functools.cached_property
    def _joints(self) -> np.ndarray:
        joints = poses.read(self.positions_file, 3)
        if not self.mono:
            joints = (joints - self.camera.position) @ self.camera.rotation.T
        # The cameras stand in the corners, and nobody goes behind them.
        if np.min(joints[..., 2]) <= 0:
            raise ArchiveError(self.positions_file, "has joints behind the camera")
        if self.pixels_file is not None:
            self._check(joints)
        return joints + self.camera.rotation @ self.shift

    def _check(self, joints: np.ndarray) -> None:
        published = poses.read(self.pixels_file, 2)
        if len(published) != len(joints):
            raise ArchiveError(
                self.pixels_file, f"has {len(published)} frames, the positions have {len(joints)}"
            )
        off = np.linalg.norm(self._project(joints) - published, axis=-1)
        if np.median(off) > TOLERANCE:
            raise ArchiveError(
                self.pixels_file,
                f"lies {np.median(off):.0f} pixels beside the projected positions: metadata.xml is "
                "not of this archive",
            )

    def _project(self, joints: np.ndarray) -> np.ndarray:
        return cameras.project(joints.reshape(-1, 3), self.camera).reshape(*joints.shape[:-1], 2)

    def seen(self, frames: np.ndarray) -> Iterator[Sighting]:
        """Some frames; see `sequences.Sequence`."""
        joints = self._joints
        pixels = self._project(joints)
        with Silhouettes(self.masks_file, self.boxes_file) as silhouettes:
            counts = {self.video: videos.count_frames(self.video)} | silhouettes.counts()
            shortest = min(counts, key=counts.get)
            there = frames[frames < counts[shortest]]
            moved = pixels - self._project(joints - self.camera.rotation @ self.shift)
            for frame, image in zip(there, videos.read_frames(self.video, there.tolist())):
                yield Sighting(
                    image=image,
                    mask=silhouettes.mask(frame, image.shape[:2], moved[frame, _PELVIS]),
                    joints_px=pixels[frame],
                    joints_mm=joints[frame],
                    visible=np.ones(poses.JOINTS, bool),
                    order="human36m_32",
                    camera=self.camera,
                    person=self.subject,
                    outfit="a",
                    action=self.action,
                    camera_id=self.camera_id,
                    frame=int(frame),
                    where=f"{self.video}, frame {frame}",
                )
        if counts[shortest] < len(joints):
            raise ArchiveError(
                shortest,
                f"has {counts[shortest]} frames, its poses {len(joints)}; the rest is lost",
            )


class Silhouettes:
    """Masks, cut to the boxes where there are any."""

    def __init__(self, masks: pathlib.Path, boxes: pathlib.Path | None):
        self._files = [Hdf5(masks)]
        try:
            self._masks = self._files[0].cells("Masks")
            self._boxes = None
            if boxes is not None:
                self._files.append(Hdf5(boxes))
                self._boxes = self._files[1].cells("Masks")
        except ArchiveError:
            self.__exit__()
            raise

    def __enter__(self) -> "Silhouettes":
        return self

    def __exit__(self, *_) -> None:
        for file in self._files:
            file.__exit__()

    def counts(self) -> dict[pathlib.Path, int]:
        """How many frames each file has."""
        lengths = [len(self._masks)] + ([] if self._boxes is None else [len(self._boxes)])
        return {file.path: length for file, length in zip(self._files, lengths)}

    def mask(
        self, frame: int, shape: tuple[int, int], moved: np.ndarray
    ) -> Bool[np.ndarray, "h w"]:
        """The person in a frame; boxes move (pixels) with the joints that they were made of."""
        mask = self._cell(0, self._masks, frame, shape)
        if self._boxes is None:
            return mask
        box = self._cell(1, self._boxes, frame, shape)
        if not box.any():
            return mask
        inside = np.zeros_like(mask)
        spans = [np.flatnonzero(box.any(axis=axis)) for axis in (0, 1)]
        margin = BOX_MARGIN * max(np.ptp(span) for span in spans)
        (left, right), (top, bottom) = (
            (
                int(max(span[0] + by - margin, 0)),
                int(max(span[-1] + 1 + by + margin, 0)),
            )
            for span, by in zip(spans, moved)
        )
        inside[top:bottom, left:right] = True
        return mask & inside

    def _cell(self, file: int, cells, frame: int, shape: tuple[int, int]) -> np.ndarray:
        mask = cells[frame]
        if mask.shape != shape:
            raise ArchiveError(
                self._files[file].path, f"has a mask of {mask.shape} where frames are {shape}"
            )
        return mask > 0
