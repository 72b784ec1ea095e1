"""Human3.6M: what the archive holds as its owners distribute it, and what is wrong with it."""

import pathlib
from typing import Literal, NamedTuple

import numpy as np

from data_prep.building.sighting_builder import Found
from data_prep.human36m import metadata, poses
from data_prep.human36m.recording import Recording
from data_prep.reading import sequences
from data_prep.reading.archives import ArchiveError

SPLITS = {"S11": "validation", "S5": "test"}
"""Knoche 2019, section 6.1: a subject for validation, one for test, the others for training."""

SUBJECTS = ("S1", "S5", "S6", "S7", "S8", "S9", "S11")
"""Those whose poses are published."""

CORRUPT = {("S11", "Directions", "54138969")}
"""Videos that are damaged in the archive itself."""

SHIFTED = {("S9", "Greeting"), ("S9", "SittingDown 1"), ("S9", "Waiting 1")}
"""Recordings whose poses and boxes stand beside the person."""

SHIFT = np.array([-200.0, 0.0, 0.0])
"""What puts them right, in world coordinates (mm)."""

CHAIRS = ("Eating", "Phoning", "Sitting", "Smoking")
"""Actions with a chair: masks do not tell it from the person. The archive labels no chairs, so
whole actions are left out."""

_VIDEOS = "Videos"
_MASKS = "MySegmentsMat/ground_truth_bs"
_BOXES = "MySegmentsMat/ground_truth_bb"


def find(source: pathlib.Path, shifted: Literal["correct", "drop"] = "correct") -> Found:
    """What there is in an archive.

    Args:
      source: folder that holds S1, S5 and so on, and metadata.xml.
      shifted: whether the recordings of S9 that are shifted are put right or left out.

    Raises:
      ArchiveError: no subject, or no metadata.xml.
    """
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
    """Why a recording is left out; None where it is not."""
    if (subject, stem, camera) in CORRUPT:
        return "whose video is corrupt in the archive"
    if about.action(subject, stem).split()[0] in CHAIRS:
        return "with a chair"
    if shifted == "drop" and (subject, stem) in SHIFTED:
        return "whose poses are shifted"
    return None


class _Files(NamedTuple):
    """Files of a subject, by their names without endings; see `Recording`."""

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
            poses.listed(features / "D3_Positions")
            or poses.listed(folder / "MyPoses" / "3D_positions"),
            poses.listed(features / "D3_Positions_mono"),
            poses.listed(features / "D2_Positions"),
            poses.listed(folder / _VIDEOS, (".mp4",)),
            poses.listed(folder / _MASKS, (".mat",)),
            poses.listed(folder / _BOXES, (".mat",)),
        )

    def names(self) -> list[str]:
        """Of all recordings that there should be, as "Walking 1.54138969"."""
        names = {f"{name}.{camera}" for name in self.world for camera in metadata.CAMERAS}
        names |= self.mono.keys() | self.films.keys()
        return sorted(name for name in names if name.rpartition(".")[2] in metadata.CAMERAS)


def _recording(
    files: _Files, subject: str, stem: str, camera: str, about: metadata.Metadata
) -> Recording:
    """The recording of this name.

    Raises:
      ArchiveError: a file is missing.
    """
    name = f"{stem}.{camera}"
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
