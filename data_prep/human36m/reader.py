"""Human3.6M: what the archive holds as its owners distribute it, and what is wrong with it."""

import pathlib
from collections.abc import Iterator
from typing import Literal

import numpy as np

from data_prep import sequences
from data_prep.archives import ArchiveError
from data_prep.human36m import metadata, poses
from data_prep.human36m.recording import Recording
from data_prep.sighting_builder import Found

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


def find(source: pathlib.Path, shifted: Literal["correct", "drop"] = "correct") -> Found:
    """What there is in an archive.

    Args:
      source: folder that holds S1, S5 and so on, and metadata.xml.
      shifted: whether the recordings of S9 that are shifted are put right or left out.

    Raises:
      ArchiveError: no subject, or no metadata.xml.
    """
    existing_subjects = [name for name in SUBJECTS if (source / name).is_dir()]
    if not existing_subjects:
        raise ArchiveError(source, f"has none of the folders {', '.join(SUBJECTS)}")
    about = metadata.read(metadata.find(source))
    found, faults, notes = [], [], []
    for subject in existing_subjects:
        for recording in _of_subject(source / subject, subject, about, faults):
            reason = _left_out(recording, shifted)
            if reason:
                notes.append(f"{recording.name}: {reason}")
            else:
                found.append(recording)
    return Found(found, [str(fault) for fault in faults], notes)


def _left_out(recording: Recording, shifted: str) -> str | None:
    stem = recording.name.split("/")[1].rsplit(".", 1)[0]
    if (recording.subject, stem, recording.camera_id) in CORRUPT:
        return "left out, the archive's video is corrupt"
    if recording.action.split()[0] in CHAIRS:
        return "left out, there is a chair"
    if shifted == "drop" and recording.shift.any():
        return "left out, its poses are shifted"
    return None


def _of_subject(
    folder: pathlib.Path, subject: str, about: metadata.Metadata, faults: list[ArchiveError]
) -> Iterator[Recording]:
    """All recordings of a subject; what is missing goes to `faults`."""
    features, segments = folder / "MyPoseFeatures", folder / "MySegmentsMat"
    world = poses.listed(features / "D3_Positions") | {
        name: path
        for name, path in poses.listed(folder / "MyPoses" / "3D_positions").items()
        if not (features / "D3_Positions").is_dir()
    }
    mono = poses.listed(features / "D3_Positions_mono")
    pixels = poses.listed(features / "D2_Positions")
    films = poses.listed(folder / "Videos", (".mp4",))
    masks = poses.listed(segments / "ground_truth_bs", (".mat",))
    boxes = poses.listed(segments / "ground_truth_bb", (".mat",))
    # One line for a download that was forgotten, not one for each of its files.
    for part, there in (("Videos", films), ("MySegmentsMat/ground_truth_bs", masks)):
        if not there:
            faults.append(ArchiveError(folder / part, "is missing or holds no files"))
            return
    names = {f"{name}.{camera}" for name in world for camera in metadata.CAMERAS}
    for name in sorted(names | set(mono) | set(films)):
        stem, _, camera = name.rpartition(".")
        if camera not in metadata.CAMERAS:
            continue
        if stem not in world and name not in mono:
            faults.append(ArchiveError(films[name], "has no positions of joints"))
            continue
        moved = SHIFT if (subject, stem) in SHIFTED else np.zeros(3)
        if name not in films and (subject, stem, camera) not in CORRUPT:
            faults.append(ArchiveError(folder / "Videos" / f"{name}.mp4", "is missing"))
            continue
        if name not in masks and (subject, stem, camera) not in CORRUPT:
            faults.append(ArchiveError(segments / "ground_truth_bs" / f"{name}.mat", "is missing"))
            continue
        files = [
            world.get(stem) or mono[name],
            pixels.get(name),
            films.get(name, folder / "Videos" / f"{name}.mp4"),
            masks.get(name, segments / "ground_truth_bs" / f"{name}.mat"),
            boxes.get(name),
        ]
        yield Recording(
            name=f"{subject}/{name}",
            split=SPLITS.get(subject, "train"),
            stamps=sequences.stamp([file for file in files if file is not None]),
            subject=subject,
            action=about.action(subject, stem),
            camera_id=camera,
            camera=about.cameras[subject, camera],
            positions_file=files[0],
            mono=stem not in world,
            pixels_file=files[1],
            video=files[2],
            masks_file=files[3],
            boxes_file=files[4],
            shift=moved,
        )
