"""Scores of a run on a whole split, beside trivial baselines, and a gallery to look at.

What is scored, and how, is the task's: see `volsynth.tasks`.
"""

import json
import math
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np
from PIL import Image

from volsynth import draw, files, metrics
from volsynth.data import pipeline, prepared
from volsynth.data.schema import MAGENTA
from volsynth.system import Batch
from volsynth.tasks import Task
from volsynth.tasks.base import Made

LABEL = "generated"
"""Of what the system made, in results that do not say: those of earlier versions."""

Make = Callable[[Batch], Made]
"""A batch to what the task scores."""


def evaluate(
    task: Task,
    make: Make,
    batches: Iterable[Batch],
    trained: np.ndarray,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, dict[str, float]]:
    """Mean scores of what a system makes and of baselines, all in one pass.

    Args:
      task: what is scored.
      make: makes it.
      batches: with `valid`.
      trained: what the baselines need of the training split; see `Task.trained`.
      progress: called with the number of images scored in each batch.

    Returns:
      {row: {score: mean}}, the system's own row and one for each baseline.
    """
    states = None
    score = jax.jit(_add_scores, static_argnums=0)
    for batch in batches:
        candidates = task.candidates(make(batch), trained, batch)
        if states is None:
            states = {name: metrics.start((*task.scores, *task.details)) for name in candidates}
        states = score(task, states, candidates, batch)
        progress(int(np.sum(batch["valid"])))
    if states is None:
        raise ValueError("nothing to evaluate: there are no batches.")
    return {
        name: {key: float(value) for key, value in metrics.results(state).items()}
        for name, state in states.items()
    }


def _add_scores(task, states, candidates, batch):
    added = {}
    for name, made in candidates.items():
        scored = task.score(made, batch)
        added[name] = {key: state.update(*scored[key]) for key, state in states[name].items()}
    return added


def gallery_pairs(split: prepared.Split, seed: int, count: int) -> np.ndarray:
    """Pairs for a gallery: one of every person in turn, then a second one, ..., [count, 2]."""
    pairs = pipeline.evaluation_pairs(split, seed)
    rng = np.random.Generator(np.random.Philox(key=[seed, 1]))
    order = rng.permutation(len(pairs))
    person = split.index["person"][pairs[order, 1]]
    turn = np.empty(len(order), int)
    for p in np.unique(person):
        turn[person == p] = np.arange(np.sum(person == p))
    return pairs[order[np.argsort(turn, kind="stable")]][:count]


def gallery(task: Task, make: Make, batches: Iterable[Batch], cell: int = 128) -> Image.Image:
    """A row of pictures for every example, as the task wants; two examples side by side."""
    rows = []
    for batch in batches:
        made = jax.tree.map(np.asarray, make(batch))
        rows += [task.row(made, batch, i, cell) for i in np.flatnonzero(batch["valid"])]
    titles = list(task.columns)
    if len(rows) % 2 == 0 and len(rows) > 4:
        half = len(rows) // 2
        rows = [left + right for left, right in zip(rows[:half], rows[half:])]
        titles = titles * 2
    return draw.grid(rows, titles, cell=cell)


def protocol(task: Task, data: prepared.Prepared, split: str, pairs: np.ndarray) -> dict[str, Any]:
    """Everything the scores depend on, as JSON values."""
    return {
        "data": f"{data.manifest['name']}/{data.manifest['config']} {data.manifest['version']}",
        "data_identity": data.identity,
        "split": split,
        "images": len(pairs),
        "image_size": data.image_size,
        "background": list(MAGENTA),
        "pairs": task.pairs,
        "scores": {name: task.protocol[name] for name in ("all", *task.scores)},
        **task.baselines,
    }


def results(task: Task, scored: dict[str, dict[str, float]], **others: Any) -> dict[str, Any]:
    """What `volsynth evaluate` writes and prints: scores, details apart, and the others."""
    rows = {name: {key: row[key] for key in task.scores} for name, row in scored.items()}
    # What no image had is null: JSON has no NaN.
    details = {
        name: {key: None if math.isnan(row[key]) else row[key] for key in task.details}
        for name, row in scored.items()
    }
    return {
        "label": task.label,
        "metrics": rows.pop(task.label),
        "baselines": rows,
        **({"details": details} if task.details else {}),
        "columns": list(task.columns),
        **others,
    }


def write_results(folder: pathlib.Path, results: dict[str, Any]) -> None:
    """Writes `results.json` and a table `results.md` into a folder, each of them whole."""
    files.write_text(folder / "results.json", json.dumps(results, indent=2) + "\n")
    files.write_text(folder / "results.md", table(results))


def rows(results: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The rows of a table of results, {label: scores}, the system's own first."""
    return {results.get("label", LABEL): results["metrics"], **results["baselines"]}


def table(results: dict[str, Any]) -> str:
    """The scores as a Markdown table, one row for what the system made and for each baseline."""
    names = list(results["metrics"])
    lines = [
        "| | " + " | ".join(name.replace("_", " ") for name in names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    for label, values in rows(results).items():
        cells = " | ".join(f"{values[key]:.3f}" for key in names)
        lines.append(f"| {label.replace('_', ' ')} | {cells} |")
    return "\n".join(lines) + "\n"
