"""Runs side by side: what differs between their configs, their scores, their curves."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from volsynth import curves, rundir
from volsynth.train import workdir as workdirs

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

    Raises:
      UserError: it holds no run, or a file in it cannot be read.
    """
    return {**rundir.read(workdir), "results": rundir.results(workdir, split)}


def compare(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The comparison of runs that `read` returned, as JSON values.

    Returns:
      {"runs": [{"label", "workdir", "differs", "seed", "steps", "scores", "losses", "skipped",
      "loss_scale": [lowest, highest]}], "protocol", "warnings"}. `losses` are means over the last
      tenth of a run; `scores` is None for a run that was not evaluated.
    """
    flat = [workdirs.flatten(run["config"]) for run in runs]
    keys = sorted({key for config in flat for key in config})
    differing = [key for key in keys if len({repr(config.get(key)) for config in flat}) > 1]
    # Where data lies tells runs apart only if nothing else does.
    differing = [key for key in differing if key != "data.dir"]
    if "system" in differing:
        # Networks of other methods have other keys, whatever their values.
        differing = [key for key in differing if not key.startswith(_NETWORKS)]
    rows, warnings = [], []
    for run, config in zip(runs, flat):
        differs = {key: config.get(key) for key in differing}
        label = ", ".join(f"{key.split('.')[-1]} {value}" for key, value in differs.items())
        results = run["results"]
        rows.append(
            {
                "label": label or pathlib.Path(run["workdir"]).name,
                "workdir": run["workdir"],
                "differs": differs,
                "seed": run["config"]["seed"],
                "steps": run["log"][-1]["step"] if run["log"] else 0,
                "scored_step": results and results["step"],
                "scores": results and results["metrics"],
                "losses": _last_losses(run["log"]),
                "skipped": _total(run["log"], "skipped"),
                "loss_scale": _range(run["log"], "loss_scale"),
            }
        )
    if len({row["label"] for row in rows}) < len(rows):
        for row in rows:
            row["label"] = " ".join((pathlib.Path(row["workdir"]).name, row["label"])).strip()
    protocols = [run["results"]["protocol"] for run in runs if run["results"]]
    if any(protocol != protocols[0] for protocol in protocols):
        warnings.append("the scores were not made by the same protocol; they do not compare.")
    if len({run["data"] for run in runs}) > 1:
        warnings.append("the runs were not trained on the same data.")
    for row, run in zip(rows, runs):
        if run["damaged"]:
            warnings.append(f"{row['label']}: {run['damaged']} damaged lines of metrics left out.")
    missing = [row["label"] for row in rows if row["scores"] is None]
    if missing:
        warnings.append(
            f"not evaluated on this split: {'; '.join(missing)}. See volsynth evaluate."
        )
    return {"runs": rows, "protocol": protocols[0] if protocols else None, "warnings": warnings}


def table(comparison: Mapping[str, Any]) -> str:
    """The comparison as a Markdown table, warnings below it."""
    names = sorted({name for run in comparison["runs"] for name in run["losses"]})
    # In the order of the results, which is not that of the alphabet.
    scores = list(dict.fromkeys(s for run in comparison["runs"] for s in run["scores"] or ()))
    heads = [
        "",
        "steps",
        *(name.replace("_", " ") for name in scores),
        *names,
        "skipped",
        "loss scale",
    ]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for run in comparison["runs"]:
        found = run["scores"] or {}
        values = [found.get(name) for name in scores]
        values += [run["losses"].get(name) for name in names]
        low, high = run["loss_scale"]
        scale = "-" if low is None else f"{low:.3g}" + ("" if low == high else f" to {high:.3g}")
        cells = [run["label"], str(run["steps"])]
        cells += ["-" if value is None else f"{value:.3f}" for value in values]
        lines.append("| " + " | ".join([*cells, f"{run['skipped']:.0f}", scale]) + " |")
    return "\n".join([*lines, "", *comparison["warnings"]]).rstrip() + "\n"


def draw(runs: Sequence[Mapping[str, Any]], labels: Sequence[str], path: pathlib.Path) -> None:
    """Draws the logged losses and loss scales of runs over their steps, one panel for each.

    Raises:
      UserError: no run has logged any of them, or the picture cannot be written.
    """
    logs = [run["log"] for run in runs]
    keys = [key for name in CURVES for key in curves.keys_of(logs, name)]
    curves.save(curves.figure(logs, labels, keys), path)


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
    return [(n, key, curves.values(log, key)) for n in names for key in curves.keys_of([log], n)]
