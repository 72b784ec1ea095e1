"""One recording of Human3.6M: the frames of one camera in one performance of an action."""

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
from data_prep.reading.archives import ArchiveError, Cells, Hdf5

BOX_MARGIN = 0.1
"""The reach of a person beyond the box of their joints, as a share of its longer side."""

_PELVIS = 0
"""The number of the pelvis in the archive's order; boxes are moved as it is moved."""


@dataclasses.dataclass(frozen=True)
class Recording(sequences.Sequence):
    """One recording: the frames of one camera in one performance of an action.

    Attributes:
      subject: the subject, as "S1".
      action: the action and the number of the performance, as "Walking 2".
      camera_id: the id of the camera.
      camera: the camera.
      positions_file: the file of joints in the world, or in camera coordinates if `mono`.
      mono: whether the positions are in camera coordinates.
      pixels_file: the file of published projections; None where the archive lacks it.
      video: the file of the frames.
      masks_file: the file of the person's silhouette in every frame.
      boxes_file: the file of a box around the person in every frame; None where the archive lacks
        it.
      shift: what is added to the joints, world coordinates, mm.
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
            # X_cam = R (X - t), for rows of vectors.
            joints = (joints - self.camera.position) @ self.camera.rotation.T
        # The cameras stand in the corners, and nobody goes behind them.
        if np.min(joints[..., 2]) <= 0:
            raise ArchiveError(self.positions_file, "has joints behind the camera")
        if self.pixels_file is not None:
            # Before the shift: the published projections are of the shifted poses.
            self._check(joints)
        return joints + self.camera.rotation @ self.shift

    def _check(self, joints: np.ndarray) -> None:
        """Raises ArchiveError where joints do not project to where the archive says they do."""
        published = poses.read(self.pixels_file, 2)
        if len(published) != len(joints):
            raise ArchiveError(
                self.pixels_file, f"has {len(published)} frames, the positions have {len(joints)}"
            )
        off = np.linalg.norm(self._project(joints) - published, axis=-1)
        if np.median(off) > sequences.MAX_REPROJECTION_PIXELS:
            raise ArchiveError(
                self.pixels_file,
                f"lies {np.median(off):.0f} pixels beside the projected positions: metadata.xml is "
                "not of this archive",
            )

    def _project(self, joints: np.ndarray) -> np.ndarray:
        return cameras.project(joints.reshape(-1, 3), self.camera).reshape(*joints.shape[:-1], 2)

    def seen(self, frames: np.ndarray) -> Iterator[Sighting]:
        """Yields sightings of some frames; see `sequences.Sequence`."""
        joints = self._joints
        pixels = self._project(joints)
        with Silhouettes(self.masks_file, self.boxes_file) as silhouettes:
            counts = {self.video: videos.count_frames(self.video)} | silhouettes.counts()
            shortest = min(counts, key=counts.get)
            there = frames[frames < counts[shortest]]
            # Boxes stand beside the person where poses do, and must follow them; most shifts are
            # zero.
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
        # Last, so that the frames before the damage count.
        if counts[shortest] < len(joints):
            raise ArchiveError(
                shortest,
                f"has {counts[shortest]} frames, its poses {len(joints)}; the rest is lost",
            )


class Silhouettes:
    """Masks of a person in every frame, cut to the boxes where there are any."""

    def __init__(self, masks: pathlib.Path, boxes: pathlib.Path | None) -> None:
        self._files = [Hdf5(masks)]
        try:
            self._masks = self._files[0].cells("Masks")
            self._boxes = None
            if boxes is not None:
                self._files.append(Hdf5(boxes))
                # Files of boxes call their variable so, too: a box is a mask of a rectangle.
                self._boxes = self._files[1].cells("Masks")
        except ArchiveError:
            # A file that was opened must be closed although there will be no `with` block.
            self.__exit__()
            raise

    def __enter__(self) -> "Silhouettes":
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.__exit__()

    def counts(self) -> dict[pathlib.Path, int]:
        """The number of frames of each file."""
        lengths = [len(self._masks)] + ([] if self._boxes is None else [len(self._boxes)])
        return {file.path: length for file, length in zip(self._files, lengths)}

    def mask(
        self, frame: int, shape: tuple[int, int], moved: np.ndarray
    ) -> Bool[np.ndarray, "h w"]:
        """The mask of the person in a frame.

        Args:
          frame: number of the frame.
          shape: height and width of the frame.
          moved: how far (pixels) the joints that the box was made of have been moved since.
        """
        mask = self._cell(0, self._masks, frame, shape)
        if self._boxes is None:
            return mask
        box = self._cell(1, self._boxes, frame, shape)
        # Some boxes are empty; the silhouette alone is still of use then.
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

    def _cell(self, file: int, cells: Cells, frame: int, shape: tuple[int, int]) -> np.ndarray:
        mask = cells[frame]
        if mask.shape != shape:
            raise ArchiveError(
                self._files[file].path, f"has a mask of {mask.shape} where frames are {shape}"
            )
        return mask > 0
