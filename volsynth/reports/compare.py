"""Runs side by side: what differs between their configs, their scores, their losses and curves."""

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from volsynth.metrics import intervals
from volsynth.reports import history, labels, logged, plots
from volsynth.results import result_files, tables
from volsynth.results.protocol import Protocol, group_protocols

# The share of a run, from its end, over which a loss is averaged: a single step is a single batch.
_LAST = 0.1


def read(workdir: pathlib.Path, split: str) -> dict[str, Any]:
    """Reads a run and its results, for `compare`.

    Args:
      workdir: folder of the run. A folder without a run may hold results alone, of any method: such
        a row has scores only.
      split: name of the split of the results.

    Returns:
      The entries of `history.read`; "results", of `volsynth evaluate` on the split, and "images",
      its scores of every image, or None.

    Raises:
      UserError: it holds neither, or a file in it cannot be read.
    """
    for folder in (workdir, workdir / f"evaluate-{split}"):
        if not (workdir / "run.json").exists() and (found := result_files.read(folder)):
            bare = {"workdir": str(workdir), "config": {}, "data": None, "log": [], "damaged": 0}
            return {**bare, "results": found, "images": result_files.read_images(folder, found)}
    # A run that was not evaluated is compared, too: by its losses.
    folder = workdir / f"evaluate-{split}"
    results = result_files.read_split(workdir, split)
    images = result_files.read_images(folder, results) if results else None
    return {**history.read(workdir), "results": results, "images": images}


def compare(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Compares runs.

    Args:
      runs: what `read` returned for each.

    Returns:
      JSON values {"runs": [{"label", "workdir", "differs", "seed", "steps", "scored_step",
      "scores", "intervals", "losses", "skipped", "loss_scale": [lowest, highest], "protocol",
      "against_first"}], "protocols", "warnings"}. `losses` are means over the last tenth of a run;
      `scores` is None for a run that was not evaluated. `protocol` is a letter, and "protocols"
      says what each stands for: scores of two letters do not compare. `against_first` has {score:
      [difference from the first run, low, high]}, over the same pictures, with the interval over
      persons.
    """
    names, differing = labels.label_runs(runs)
    rows = [_row(run, label, differs) for run, label, differs in zip(runs, names, differing)]
    letters, protocols = _protocols(runs)
    for row, run, letter in zip(rows, runs, letters):
        row["protocol"] = letter
        row["against_first"] = {}
        if run is not runs[0] and letter is not None and letter == letters[0]:
            row["against_first"] = _paired(run, runs[0], list(row["scores"]))
    known = {letter: protocol.to_json() for letter, protocol in protocols.items()}
    return {"runs": rows, "protocols": known, "warnings": _warnings(runs, rows, protocols)}


def draw(runs: Sequence[Mapping[str, Any]], labels: Sequence[str], path: pathlib.Path) -> None:
    """Draws the logged losses and loss scales of runs over their steps, one panel for each.

    Args:
      runs: what `read` returned for each.
      labels: labels of the runs, for the legend.
      path: the file; its suffix says which kind of picture.

    Raises:
      UserError: no run has logged any of them, or the picture cannot be written.
    """
    logs = [run["log"] for run in runs]
    keys = [*logged.loss_keys(logs), *logged.keys_of(logs, "loss_scale")]
    plots.save(plots.figure(logs, labels, keys), path)


def _row(run, label, differs):
    results, log = run["results"], run["log"]
    spread = results and results.get("intervals", {})
    return {
        "label": label,
        "workdir": run["workdir"],
        "differs": differs,
        "seed": run["config"].get("seed"),
        "steps": log[-1]["step"] if log else 0,
        "scored_step": results and results["step"],
        "scores": results and results["metrics"],
        "intervals": results and spread.get(tables.own_label(results), {}),
        "losses": _last_losses(log),
        "skipped": logged.sum_of_last(log, "skipped"),
        "loss_scale": _range(log, "loss_scale"),
    }


def _protocols(runs):
    """A letter for each run, None without results, and the protocol of each letter."""
    scored = [run["results"]["protocol"] for run in runs if run["results"]]
    letters, protocols = group_protocols([Protocol.from_json(protocol) for protocol in scored])
    # Letters are given to runs with results only; the others stay without one.
    left = iter(letters)
    return [next(left) if run["results"] else None for run in runs], protocols


def _warnings(runs, rows, protocols):
    warnings = []
    for letter, protocol in list(protocols.items())[1:]:
        unequal = ", ".join(protocols["a"].differences(protocol))
        warnings.append(
            f"scores by protocol {letter} do not compare with those by a: different are {unequal}."
        )
    if len({run["data"] for run in runs if run["data"]}) > 1:
        warnings.append("the runs were not trained on the same data.")
    for row, run in zip(rows, runs):
        if run["damaged"]:
            warnings.append(f"{row['label']}: {run['damaged']} damaged lines of metrics left out.")
    missing = [row["label"] for row in rows if row["scores"] is None]
    if missing:
        warnings.append(
            f"not evaluated on this split: {'; '.join(missing)}. See volsynth evaluate."
        )
    return warnings


def _paired(run, first, names):
    """Differences of means over the pictures that both have, with intervals."""
    if not run["images"] or not first["images"]:
        return {}
    shared = [name for name in run["images"] if name in first["images"]]
    if not shared:
        return {}
    persons = intervals.PersonDraws([run["images"][name]["person"] for name in shared])
    found = {}
    for score in names:
        # Paired: what makes a picture hard for both methods drops out of the difference.
        pairs = [(run["images"][f].get(score), first["images"][f].get(score)) for f in shared]
        counted = np.array([a is not None and b is not None for a, b in pairs])
        if not np.any(counted):
            continue
        # A placeholder where a value is missing: the draws go by the places of all pictures.
        difference = np.array([a - b if ok else 0.0 for (a, b), ok in zip(pairs, counted)])
        mean = float(np.mean(difference[counted]))
        # A picture whose score is NaN is not passed over, and JSON has no NaN: no difference then.
        if math.isfinite(mean):
            found[score] = [mean, *(persons.interval(difference, counted) or (None, None))]
    return found


def _last_losses(log):
    """Losses {key: mean over the last part of a run}, all that the run logged."""
    if not log:
        return {}
    since = log[-1]["step"] * (1 - _LAST)
    losses = {}
    for key in logged.loss_keys([log]):
        last = [value for step, value in logged.values(log, key) if step > since]
        if last:
            losses[key] = sum(last) / len(last)
    return losses


def _range(log, name):
    values = [value for key in logged.keys_of([log], name) for _, value in logged.values(log, key)]
    return [min(values), max(values)] if values else [None, None]
