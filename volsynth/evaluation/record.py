"""The record of an evaluation: JSON values of all scores, and the scores of every image as CSV."""

import csv
import hashlib
import io
import math
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from volsynth import files
from volsynth.evaluation.compute_scores import Scores
from volsynth.results.protocol import Protocol
from volsynth.tasks import Task


def make(
    task: Task,
    scores: Scores,
    persons: Sequence[str],
    protocol: Protocol,
    shown: Sequence[str],
    **others: Any,
) -> dict[str, Any]:
    """What `volsynth evaluate` writes and prints.

    Args:
      task: that was scored.
      scores: of all rows.
      persons: whose each image is.
      protocol: of the scores.
      shown: the scores of the table, in their order; all others are details.
      others: put beside.

    Returns:
      JSON values: "label", "metrics", "baselines", "details", "intervals", "images" (how many have
      each score), "persons", "protocol" and the others. What no image had is null.
    """
    means = {r: {k: _known(v) for k, v in values.items()} for r, values in scores.means().items()}
    rows = {row: {key: values[key] for key in shown} for row, values in means.items()}
    details = {
        row: {key: value for key, value in values.items() if key not in shown}
        for row, values in means.items()
    }
    own = scores.images[task.label]
    return {
        "label": task.label,
        "metrics": rows.pop(task.label),
        "baselines": rows,
        **({"details": details} if any(details.values()) else {}),
        "intervals": scores.intervals(persons),
        "images": {name: int(np.sum(values.counted)) for name, values in own.items()},
        "persons": len(set(persons)),
        "columns": list(task.gallery_titles),
        "protocol": protocol.to_json(),
        **others,
    }


def write_images(
    path: pathlib.Path, names: Sequence[str], persons: Sequence[str], scores: Scores, row: str
) -> str:
    """Writes facts and scores of every image of one row as CSV; empty where an image has none.

    Returns:
      Its SHA-256, by which results know the file that belongs to them.
    """
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    values = scores.images[row]
    out.writerow(["file", "person", *scores.facts, *values])
    for i, (name, person) in enumerate(zip(names, persons)):
        cells = [repr(float(v.value[i])) if v.counted[i] else "" for v in values.values()]
        known = [repr(float(fact[i])) for fact in scores.facts.values()]
        out.writerow([name, person, *known, *cells])
    files.write_text(path, text.getvalue())
    return hashlib.sha256(text.getvalue().encode()).hexdigest()


def _known(value):
    return None if math.isnan(value) else value
