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
from volsynth.errors import UserError
from volsynth.images import draw

LIST, POSES = "pairs.csv", "poses.json"

_CHUNK = 64


def stem(source: int, target: int) -> str:
    """The name of the file with what was generated for a pair of records, without its suffix."""
    return f"{source:06d}_{target:06d}"


def names_of(split: prepared.Split, key: str, records: Sequence[int]) -> np.ndarray:
    """The "person", "outfit", "action" or "camera" of some records, as text."""
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
      split: whose records the pairs name.
      pairs: [N, 2], source and target.
      folder: made where there is none.
      progress: called with the number of records written in each step.

    Raises:
      UserError: the folder cannot be written.
    """
    folder = pathlib.Path(folder)
    try:
        (folder / "images").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}.") from error
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(["file", "source", "target", "person", "outfit", "action"])
    for source, target in pairs:
        told = [names_of(split, key, [target])[0] for key in ("person", "outfit", "action")]
        names = [f"images/{number:06d}.png" for number in (source, target)]
        out.writerow([f"{stem(source, target)}.png", *names, *told])
    poses = {}
    records = np.unique(pairs)
    for start in range(0, len(records), _CHUNK):
        numbers = records[start : start + _CHUNK]
        found = decoding.read_fields(split, numbers, ("image", "joints_px", "joints_mm", "visible"))
        for i, number in enumerate(numbers):
            draw.save_png(folder / "images" / f"{number:06d}.png", found["image"][i])
            poses[f"{number:06d}"] = {
                key: found[key][i].tolist() for key in ("joints_px", "joints_mm", "visible")
            }
        progress(len(numbers))
    values = {"joints": list(skeleton.JOINTS), "records": poses}
    files.write_text(folder / POSES, json.dumps(values) + "\n")
    # Last: a list that is there names nothing that is not.
    files.write_text(folder / LIST, text.getvalue())
    return folder / LIST
