"""The record of an evaluation, as JSON values, and the columns of its file of images."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from volsynth.evaluation.compute_scores import Scores
from volsynth.results.protocol import Protocol
from volsynth.tasks import Task


def make_record(
    task: Task,
    scores: Scores,
    persons: Sequence[str],
    protocol: Protocol,
    shown: Sequence[str],
    **others: Any,
) -> dict[str, Any]:
    """The record that `volsynth evaluate` writes and prints.

    Args:
      task: the task that was scored.
      scores: scores of all rows.
      persons: name of the person on each image.
      protocol: protocol of the scores.
      shown: names of the scores of the table, in their order; all others are details.
      others: further entries, put beside.

    Returns:
      JSON values: "label", "metrics", "baselines", "details", "intervals", "images" (how many have
      each score), "persons", "protocol" and the others. A score that no image had is null.
    """
    means = {
        row: {name: _or_none(value) for name, value in values.items()}
        for row, values in scores.means().items()
    }
    rows = {row: {name: values[name] for name in shown} for row, values in means.items()}
    details = {
        row: {name: value for name, value in values.items() if name not in shown}
        for row, values in means.items()
    }
    own = scores.images[task.label]
    return {
        "label": task.label,
        "metrics": rows.pop(task.label),
        # Without the system's own row, which was taken out on the line above.
        "baselines": rows,
        **({"details": details} if any(details.values()) else {}),
        "intervals": scores.intervals(persons),
        "images": {name: int(np.sum(values.counted)) for name, values in own.items()},
        "persons": len(set(persons)),
        "columns": list(task.gallery_titles),
        "protocol": protocol.to_json(),
        **others,
    }


def image_columns(scores: Scores, row: str) -> dict[str, list[float | None]]:
    """Facts of every image, and its scores in one row, by name; None where it has no such score."""
    # Facts first, so that the scores stand together at the end of each line.
    columns = {name: list(values) for name, values in scores.facts.items()}
    for name, found in scores.images[row].items():
        columns[name] = [v if c else None for v, c in zip(found.values, found.counted)]
    return columns


def _or_none(value):
    # JSON has no NaN.
    return None if math.isnan(value) else value
