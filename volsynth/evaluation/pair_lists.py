"""Lists of pairs, with everything that another method needs to generate their pictures."""

import csv
import io
import json
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from volsynth import files, skeleton
from volsynth.data import decoding, prepared
from volsynth.errors import os_errors_explained
from volsynth.images import draw

LIST_FILE = "pairs.csv"
"""Name of the file that lists the pairs."""

POSES_FILE = "poses.json"
"""Name of the file with the poses of all records."""

# Records decoded at a time: a whole split of pictures need not fit into memory.
_CHUNK = 64


def pair_stem(source: int, target: int) -> str:
    """The name of the file with what was generated for an example, without its suffix.

    Args:
      source: number of the record of its source.
      target: number of the record that is scored: of a clip, its last frame.
    """
    return f"{source:06d}_{target:06d}"


def index_names(split: prepared.Split, key: str, records: Sequence[int]) -> np.ndarray:
    """Names of the "person", "outfit", "action" or "camera" of records, as text.

    Args:
      split: the split of the records.
      key: which of the four.
      records: numbers of the records.
    """
    return split.index[f"{key}_names"][split.index[key][np.asarray(records)]]


def write(
    split: prepared.Split,
    pairs: np.ndarray,
    folder: str | os.PathLike[str],
    progress: Callable[[int], None] = lambda done: None,
) -> pathlib.Path:
    """Writes a list of pairs, the pictures of their records, and all poses.

    `pairs.csv` names, for every pair, the file that a generated picture of it must have, the
    source's and the target's picture (`images/000007.png`), the person, outfit and action.
    `poses.json` has joints in pixels of the picture and in mm, and which are visible, by record.

    Args:
      split: the split of the records.
      pairs: numbers of the records of source and target, [N, 2].
      folder: the folder; it is made where there is none.
      progress: called with the number of records written in each step.

    Returns:
      The file with the list.

    Raises:
      UserError: the folder cannot be written.
    """
    folder = pathlib.Path(folder)
    with os_errors_explained("write to", folder):
        (folder / "images").mkdir(parents=True, exist_ok=True)
    # A record is in several pairs, and its picture is written once.
    poses = _write_pictures(split, np.unique(pairs), folder, progress)
    values = {"joints": list(skeleton.JOINTS), "records": poses}
    files.write_text(folder / POSES_FILE, json.dumps(values) + "\n")
    # Last, so that a list that is there names nothing that is not there.
    files.write_text(folder / LIST_FILE, _list_of(split, pairs))
    return folder / LIST_FILE


def _list_of(split, pairs):
    """The list of pairs, as CSV."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(["file", "source", "target", "person", "outfit", "action"])
    for source, target in pairs:
        known = [index_names(split, key, [target])[0] for key in ("person", "outfit", "action")]
        names = [f"images/{number:06d}.png" for number in (source, target)]
        out.writerow([f"{pair_stem(source, target)}.png", *names, *known])
    return text.getvalue()


def _write_pictures(split, records, folder, progress):
    """Writes the pictures of records; returns their poses, {number: {field: values}}."""
    poses = {}
    for start in range(0, len(records), _CHUNK):
        numbers = records[start : start + _CHUNK]
        found = decoding.read_fields(split, numbers, ("image", "joints_px", "joints_mm", "visible"))
        for i, number in enumerate(numbers):
            draw.save_png(folder / "images" / f"{number:06d}.png", found["image"][i])
            poses[f"{number:06d}"] = {
                key: found[key][i].tolist() for key in ("joints_px", "joints_mm", "visible")
            }
        progress(len(numbers))
    return poses
