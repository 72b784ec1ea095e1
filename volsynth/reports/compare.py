"""Runs side by side: what differs between their configs, their scores, their curves."""

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from volsynth.metrics import intervals
from volsynth.reports import history, plots
from volsynth.results import result_files
from volsynth.results.protocol import Protocol, told_apart
from volsynth.train import run_record

CURVES = (
    "loss",
    "l1",
    "chroma",
    "nearest_neighbour",
    "gan",
    "wasserstein",
    "gradient_penalty",
    "perceptual",
    "pose",
    "metric",
    "plane",
    "loss_scale",
)
"""Metrics of a player that are drawn, where a run has them, in this order."""

_NETWORKS = ("model.", "discriminator.")

# The share of a run, from its end, over which a loss is averaged for the table.
_LAST = 0.1


def read(workdir: pathlib.Path, split: str) -> dict[str, Any]:
    """What `rundir.read` returns, and "results": of `volsynth evaluate` on the split, or None.

    A folder without a run may hold results alone, of any method: such a row has scores only.

    Raises:
      UserError: it holds neither, or a file in it cannot be read.
    """
    for folder in (workdir, workdir / f"evaluate-{split}"):
        if not (workdir / "run.json").exists() and (found := result_files.read(folder)):
            bare = {"workdir": str(workdir), "config": {}, "data": None, "log": [], "damaged": 0}
            return {**bare, "results": found, "images": result_files.read_images(folder, found)}
    folder = workdir / f"evaluate-{split}"
    results = result_files.results(workdir, split)
    images = result_files.read_images(folder, results) if results else None
    return {**history.read(workdir), "results": results, "images": images}


def compare(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The comparison of runs that `read` returned, as JSON values.

    Returns:
      {"runs": [{"label", "workdir", "differs", "seed", "steps", "scores", "intervals", "protocol",
      "losses", "skipped", "loss_scale": [lowest, highest], "against_first"}], "protocols",
      "warnings"}. `losses` are means over the last tenth of a run; `scores` is None for a run that
      was not evaluated. `protocol` is a letter, and "protocols" says what each stands for: scores
      of two letters do not compare. `against_first` has {score: [difference from the first run,
      low, high]}, over the same pictures, with the interval over persons.
    """
    labels, differing = _labels(runs)
    rows, warnings = [], []
    for run, label, differs in zip(runs, labels, differing):
        results = run["results"]
        rows.append(
            {
                "label": label,
                "workdir": run["workdir"],
                "differs": differs,
                "seed": run["config"].get("seed"),
                "steps": run["log"][-1]["step"] if run["log"] else 0,
                "scored_step": results and results["step"],
                "scores": results and results["metrics"],
                "intervals": results and results.get("intervals", {}).get(_label(results), {}),
                "losses": _last_losses(run["log"]),
                "skipped": _total(run["log"], "skipped"),
                "loss_scale": _range(run["log"], "loss_scale"),
            }
        )
    letters, protocols = _protocols(runs)
    for row, run, letter in zip(rows, runs, letters):
        row["protocol"] = letter
        row["against_first"] = {}
        if run is not runs[0] and letter is not None and letter == letters[0]:
            row["against_first"] = _paired(run, runs[0], list(row["scores"]))
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
    known = {letter: protocol.to_json() for letter, protocol in protocols.items()}
    return {"runs": rows, "protocols": known, "warnings": warnings}


def table(comparison: Mapping[str, Any]) -> str:
    """The comparison as Markdown tables, protocols and warnings below them."""
    runs = comparison["runs"]
    names = sorted({name for run in runs for name in run["losses"]})
    # In the order of the results, which is not that of the alphabet.
    scores = list(dict.fromkeys(s for run in runs for s in run["scores"] or ()))
    protocols = comparison["protocols"]
    entries = {k: v for p in protocols.values() for k, v in p["scores"].items()}
    several = len(protocols) > 1
    heads = ["", "steps", *(result_files.title(name, entries) for name in scores)]
    heads += [*(["protocol"] if several else []), *names, "skipped", "loss scale"]
    lines = []
    for run in runs:
        found, spread = run["scores"] or {}, run["intervals"] or {}
        low, high = run["loss_scale"]
        scale = "-" if low is None else f"{low:.3g}" + ("" if low == high else f" to {high:.3g}")
        cells = [run["label"], _steps(run)]
        cells += [result_files.cell(found.get(name), spread.get(name)) for name in scores]
        cells += [run["protocol"] or "-"] if several else []
        cells += [result_files.cell(run["losses"].get(name)) for name in names]
        lines.append([*cells, f"{run['skipped']:.0f}", scale])
    parts = [result_files.aligned(heads, lines)]
    paired = [run for run in runs if run["against_first"]]
    if paired:
        shown = [name for name in scores if any(name in run["against_first"] for run in paired)]
        heads = [f"difference from {runs[0]['label']}"]
        heads += [result_files.title(name, entries) for name in shown]
        lines = [
            [run["label"], *(_difference(run["against_first"].get(name)) for name in shown)]
            for run in paired
        ]
        parts.append(result_files.aligned(heads, lines))
    said = [Protocol.of_json(protocols[key]).summary() for key in protocols]
    if several:
        said = [f"{key}: {line}" for key, line in zip(protocols, said)]
    return "\n".join([*parts, *said, *comparison["warnings"]]).rstrip() + "\n"


def draw(runs: Sequence[Mapping[str, Any]], labels: Sequence[str], path: pathlib.Path) -> None:
    """Draws the logged losses and loss scales of runs over their steps, one panel for each.

    Raises:
      UserError: no run has logged any of them, or the picture cannot be written.
    """
    logs = [run["log"] for run in runs]
    keys = [key for name in CURVES for key in plots.keys_of(logs, name)]
    plots.save(plots.figure(logs, labels, keys), path)


def _steps(run):
    """Those of the training, and which were scored, if not the last."""
    if run["seed"] is None:
        return "-"
    other = run["scored_step"] not in (None, run["steps"]) and run["steps"]
    return f"{run['steps']}, scored {run['scored_step']}" if other else str(run["steps"])


def _labels(runs):
    """What names each run, and which values of the configs differ."""
    flat = [run_record.flatten(run["config"]) if run["config"] else {} for run in runs]
    known = [config for config in flat if config]
    keys = sorted({key for config in known for key in config})
    differing = [key for key in keys if len({repr(config.get(key)) for config in known}) > 1]
    # Where data lies tells runs apart only if nothing else does.
    differing = [key for key in differing if key != "data.dir"]
    if "system" in differing:
        # Networks of other methods have other keys, whatever their values.
        differing = [key for key in differing if not key.startswith(_NETWORKS)]
    differs = [{key: config.get(key) for key in differing if config} for config in flat]
    names = [pathlib.Path(run["workdir"]).name for run in runs]
    labels = [
        ", ".join(f"{key.split('.')[-1]} {value}" for key, value in values.items()) or name
        for values, name in zip(differs, names)
    ]
    if len(set(labels)) < len(labels):
        if len(set(names)) < len(names):
            paths = [pathlib.Path(run["workdir"]).absolute() for run in runs]
            names = [f"{path.parent.name}/{path.name}" for path in paths]
        own = [pathlib.Path(run["workdir"]).name for run in runs]
        labels = [
            name if label == plain else f"{name} {label}"
            for name, plain, label in zip(names, own, labels)
        ]
    return labels, differs


def _label(results):
    return results.get("label", result_files.LABEL)


def _protocols(runs):
    """A letter for each run, None without results, and the protocol of each letter."""
    scored = [run["results"]["protocol"] for run in runs if run["results"]]
    letters, protocols = told_apart([Protocol.of_json(protocol) for protocol in scored])
    left = iter(letters)
    return [next(left) if run["results"] else None for run in runs], protocols


def _paired(run, first, names):
    """Differences of means over the pictures that both have, with intervals."""
    if not run["images"] or not first["images"]:
        return {}
    shared = [name for name in run["images"] if name in first["images"]]
    if not shared:
        return {}
    persons = intervals.Persons([run["images"][name]["person"] for name in shared])
    found = {}
    for score in names:
        pairs = [(run["images"][f].get(score), first["images"][f].get(score)) for f in shared]
        counted = np.array([a is not None and b is not None for a, b in pairs])
        if not np.any(counted):
            continue
        difference = np.array([a - b if ok else 0.0 for (a, b), ok in zip(pairs, counted)])
        mean = float(np.mean(difference[counted]))
        # A picture whose score is NaN is not passed over, and JSON has no NaN.
        if math.isfinite(mean):
            found[score] = [mean, *(persons.interval(difference, counted) or (None, None))]
    return found


def _difference(found):
    if found is None:
        return "-"
    value, low, high = found
    return f"{value:+.3f}" + ("" if low is None else f" [{low:+.3f}, {high:+.3f}]")


def _last_losses(log):
    if not log:
        return {}
    since = log[-1]["step"] * (1 - _LAST)
    losses = {}
    for name, key, found in _found(log, CURVES):
        last = [value for step, value in found if step > since]
        if name != "loss_scale" and last:
            losses[key] = sum(last) / len(last)
    return losses


def _total(log, name):
    """The sum over the players of the last value of a counter."""
    return sum(found[-1][1] for _, _, found in _found(log, [name]) if found)


def _range(log, name):
    values = [value for _, _, found in _found(log, [name]) for _, value in found]
    return [min(values), max(values)] if values else [None, None]


def _found(log, names):
    """(name, key, values) of every logged key of some metrics."""
    return [(n, key, plots.values(log, key)) for n in names for key in plots.keys_of([log], n)]
