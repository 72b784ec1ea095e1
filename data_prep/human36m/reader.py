"""The reader of Human3.6M: the recordings in the archive, and the known faults of the archive."""

import pathlib
from typing import Literal, NamedTuple

import numpy as np

from data_prep.building.sighting_builder import Found
from data_prep.human36m import metadata, poses
from data_prep.human36m.recording import Recording
from data_prep.reading import sequences
from data_prep.reading.archives import ArchiveError

SPLITS = {"S11": "validation", "S5": "test"}
"""The splits of two subjects, as in Knoche 2019, section 6.1; the other subjects are for
training."""

SUBJECTS = ("S1", "S5", "S6", "S7", "S8", "S9", "S11")
"""The subjects whose poses are published."""

CORRUPT = {("S11", "Directions", "54138969")}
"""The recordings whose videos are damaged in the archive itself, as (subject, name, camera)."""

SHIFTED = {("S9", "Greeting"), ("S9", "SittingDown 1"), ("S9", "Waiting 1")}
"""The recordings whose poses and boxes stand beside the person, as (subject, name)."""

SHIFT = np.array([-200.0, 0.0, 0.0])
"""The shift that puts shifted poses right, in world coordinates (mm)."""

CHAIRS = ("Eating", "Phoning", "Sitting", "Smoking")
"""The actions with a chair, which masks do not tell from the person. The archive does not label
chairs, so these actions are left out completely."""

_VIDEOS = "Videos"
"""The folder of videos of a subject."""

_MASKS = "MySegmentsMat/ground_truth_bs"
"""The folder of silhouettes of a subject, by background subtraction."""

_BOXES = "MySegmentsMat/ground_truth_bb"
"""The folder of bounding boxes of a subject."""


def find(source: pathlib.Path, shifted: Literal["correct", "drop"] = "correct") -> Found:
    """Finds the recordings in an archive.

    Args:
      source: the folder that holds S1, S5 and so on, and metadata.xml.
      shifted: whether the recordings of S9 that are shifted are put right or left out.

    Raises:
      ArchiveError: there is no subject, or no metadata.xml.
    """
    # Part of the archive is enough: not everybody downloads all subjects.
    there = [name for name in SUBJECTS if (source / name).is_dir()]
    if not there:
        raise ArchiveError(source, f"has none of the folders {', '.join(SUBJECTS)}")
    about = metadata.read(metadata.find(source))
    found, faults, reasons = [], [], {}
    for subject in there:
        files = _Files.of(source / subject)
        # One line for a download that was forgotten, not one for each of its files.
        missing = [
            ArchiveError(source / subject / part, "is missing or holds no files")
            for part, listed in ((_VIDEOS, files.films), (_MASKS, files.masks))
            if not listed
        ]
        faults += missing
        for name in [] if missing else files.names():
            stem, camera = name.split(".")
            reason = _reason(subject, stem, camera, about, shifted)
            if reason:
                reasons.setdefault(reason, []).append(f"{subject}/{name}")
                continue
            try:
                found.append(_recording(files, subject, stem, camera, about))
            except ArchiveError as error:
                faults.append(error)
    notes = [
        f"{len(names)} recordings left out, {reason}, such as {names[0]}"
        for reason, names in reasons.items()
    ]
    return Found(found, [str(fault) for fault in faults], notes)


def _reason(
    subject: str, stem: str, camera: str, about: metadata.Metadata, shifted: str
) -> str | None:
    """The reason for which a recording is left out on purpose; None where it is not."""
    if (subject, stem, camera) in CORRUPT:
        return "whose video is corrupt in the archive"
    # By the action, not by the file name, which differs among subjects.
    if about.action(subject, stem).split()[0] in CHAIRS:
        return "with a chair"
    if shifted == "drop" and (subject, stem) in SHIFTED:
        return "whose poses are shifted"
    return None


class _Files(NamedTuple):
    """The files of a subject, each kind by names without endings; see `Recording`."""

    folder: pathlib.Path
    world: dict[str, pathlib.Path]
    mono: dict[str, pathlib.Path]
    pixels: dict[str, pathlib.Path]
    films: dict[str, pathlib.Path]
    masks: dict[str, pathlib.Path]
    boxes: dict[str, pathlib.Path]

    @classmethod
    def of(cls, folder: pathlib.Path) -> "_Files":
        features = folder / "MyPoseFeatures"
        return cls(
            folder,
            # The folder of the archive, or that of a common export.
            poses.listed(features / "D3_Positions")
            or poses.listed(folder / "MyPoses" / "3D_positions"),
            poses.listed(features / "D3_Positions_mono"),
            poses.listed(features / "D2_Positions"),
            poses.listed(folder / _VIDEOS, (".mp4",)),
            poses.listed(folder / _MASKS, (".mat",)),
            poses.listed(folder / _BOXES, (".mat",)),
        )

    def names(self) -> list[str]:
        """The names of all recordings that there should be, as "Walking 1.54138969"."""
        names = {f"{name}.{camera}" for name in self.world for camera in metadata.CAMERAS}
        # What only some files name is expected as well, so that a missing file is reported.
        names |= self.mono.keys() | self.films.keys()
        return sorted(name for name in names if name.rpartition(".")[2] in metadata.CAMERAS)


def _recording(
    files: _Files, subject: str, stem: str, camera: str, about: metadata.Metadata
) -> Recording:
    """The recording of a name.

    Raises:
      ArchiveError: a file of it is missing.
    """
    name = f"{stem}.{camera}"
    # Both are the same poses; those in the world need no file for each camera.
    positions = files.world.get(stem) or files.mono.get(name)
    if positions is None:
        raise ArchiveError(files.films[name], "has no positions of joints")
    for listed, part, ending in ((files.films, _VIDEOS, "mp4"), (files.masks, _MASKS, "mat")):
        if name not in listed:
            raise ArchiveError(files.folder / part / f"{name}.{ending}", "is missing")
    pixels, video, masks, boxes = (
        listed.get(name) for listed in (files.pixels, files.films, files.masks, files.boxes)
    )
    return Recording(
        name=f"{subject}/{name}",
        split=SPLITS.get(subject, "train"),
        # Files that may be missing count as soon as they are there: they change the masks.
        stamps=sequences.stamp([p for p in (positions, pixels, video, masks, boxes) if p]),
        subject=subject,
        action=about.action(subject, stem),
        camera_id=camera,
        camera=about.cameras[subject, camera],
        positions_file=positions,
        mono=stem not in files.world,
        pixels_file=pixels,
        video=video,
        masks_file=masks,
        boxes_file=boxes,
        shift=SHIFT if (subject, stem) in SHIFTED else np.zeros(3),
    )
