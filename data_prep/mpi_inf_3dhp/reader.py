"""The reader of MPI-INF-3DHP: the sequences in the archive, and the known faults of the archive."""

import pathlib
from collections.abc import Iterator
from typing import Literal

from data_prep.building.sighting_builder import Found
from data_prep.mpi_inf_3dhp import calibration, test_set
from data_prep.mpi_inf_3dhp.recording import PARTS, Recording
from data_prep.reading import sequences
from data_prep.reading.archives import ArchiveError

SPLITS = {"S6": "validation", "S4": "test"}
"""The splits of two subjects, as in Knoche 2019, section 6.1; the other subjects are for
training."""

SUBJECTS = tuple(f"S{n}" for n in range(1, 9))
"""The names of the subjects, and of their folders."""

RECORDINGS = ("Seq1", "Seq2")
"""The names of each subject's two recordings, and of their folders."""

ALWAYS = (0, 1, 2, 4, 5, 6, 7, 8)
"""The cameras that every download has. Those on the other walls and on the ceiling are downloaded
only by those who ask for them."""


BAD_MASKS = {("S1", "Seq2"), ("S4", "Seq2")}
"""The recordings whose masks of the lower body their owners call bad."""


def find(source: pathlib.Path, bad_masks: Literal["keep", "drop"] = "keep") -> Found:
    """Finds the sequences in an archive.

    Args:
      source: the folder that holds S1 to S8, and TS1 to TS6 in it or in `mpi_inf_3dhp_test_set`.
      bad_masks: whether recordings whose owners call their masks bad are kept or left out.

    Raises:
      ArchiveError: there is no subject.
    """
    test = _test_set(source)
    found, faults, notes = [], [], list(test.notes)
    for subject in SUBJECTS:
        for recording in RECORDINGS:
            folder = source / subject / recording
            if folder.is_dir() and (subject, recording) in BAD_MASKS:
                done = {"keep": "kept", "drop": "left out"}[bad_masks]
                notes.append(f"{subject}/{recording}: {done}, its owners call its masks bad")
                if bad_masks == "drop":
                    continue
            if folder.is_dir():
                found += _of_recording(folder, subject, recording, faults)
            # A subject that was not downloaded at all is no fault; one in part is.
            elif folder.parent.is_dir():
                faults.append(ArchiveError(folder, "is missing"))
    left_out = [str(fault) for fault in faults] + test.left_out
    if not (found or left_out or test.pieces or notes):
        raise ArchiveError(source, "has none of the folders S1 to S8 and TS1 to TS6")
    return Found(found + test.pieces, left_out, notes)


def _of_recording(
    folder: pathlib.Path, subject: str, recording: str, faults: list[ArchiveError]
) -> Iterator[Recording]:
    """Yields a sequence for every camera of a recording; what is missing goes to `faults`."""
    try:
        # Once for all cameras of a recording.
        cameras = calibration.read(folder / "camera.calibration")
    except ArchiveError as error:
        faults.append(error)
        return
    if not (folder / "annot.mat").is_file():
        faults.append(ArchiveError(folder / "annot.mat", "is missing"))
        return
    for number in sorted(cameras):
        files = [folder / part / f"video_{number}.avi" for part in PARTS]
        missing = [file for file in files if not file.is_file()]
        # A camera that was never asked for has none of the files, one that was lost has some.
        if len(missing) == len(files) and number not in ALWAYS:
            continue
        if missing:
            faults.extend(ArchiveError(file, "is missing") for file in missing)
            continue
        yield Recording(
            name=f"{subject}/{recording}/{number}",
            split=SPLITS.get(subject, "train"),
            stamps=sequences.stamp([folder / "annot.mat", folder / "camera.calibration", *files]),
            folder=folder,
            subject=subject,
            recording=recording,
            number=number,
            camera=cameras[number],
        )


def _test_set(source: pathlib.Path) -> Found:
    """Finds the sequences of the test set."""
    found, faults, notes = [], [], []
    for name in test_set.NAMES:
        # The test set comes in an archive of its own, with a folder around it.
        for folder in (source / name, source / "mpi_inf_3dhp_test_set" / name):
            if not folder.is_dir():
                continue
            # A note and no fault, because nothing is missing from the archive.
            if not (folder / "masks").is_dir():
                notes.append(f"{name}: left out, there is no folder {folder / 'masks'}")
            elif not (folder / "annot_data.mat").is_file():
                faults.append(str(ArchiveError(folder / "annot_data.mat", "is missing")))
            else:
                files = [folder / "annot_data.mat", folder / "imageSequence", folder / "masks"]
                found.append(
                    test_set.TestSequence(
                        name, test_set.SPLIT, sequences.stamp(files), folder, files[2]
                    )
                )
            break
    return Found(found, faults, notes)
