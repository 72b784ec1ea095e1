"""Runs side by side: what differs between their configs, their scores, their curves."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from volsynth import evaluate
from volsynth.errors import UserError
from volsynth.train import workdir as workdirs

CURVES = ("loss", "l1", "chroma", "nearest_neighbour", "gan", "loss_scale")
"""Metrics of a player that are drawn, where a run has them, in this order."""

# Of a curve's length; one point of a loss is a single batch.
_SMOOTHING = 0.02
# The share of a run, from its end, over which a loss is averaged for the table.
_LAST = 0.1


def read(workdir: pathlib.Path, split: str) -> dict[str, Any]:
    """What a workdir tells: {"workdir", "config", "data", "log", "results"}.

    `log` has the logged rows in the order of their steps; `results` those of `volsynth evaluate` on
    the split, None without.

    Raises:
      UserError: it holds no run, or a file in it cannot be read.
    """
    run = workdirs.read_run(workdir)
    log, results = workdir / "metrics.jsonl", workdir / f"evaluate-{split}" / "results.json"
    try:
        rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        found = json.loads(results.read_text()) if results.exists() else None
    except (OSError, ValueError) as error:
        raise UserError(f"{workdir}: metrics or results cannot be read: {error}") from error
    # A run that went on from a checkpoint may have logged a step twice; the later one counts.
    by_step = {row["step"]: row for row in rows}
    ordered = [by_step[step] for step in sorted(by_step)]
    return {"workdir": str(workdir), **run, "log": ordered, "results": found}


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
    missing = [row["label"] for row in rows if row["scores"] is None]
    if missing:
        warnings.append(
            f"not evaluated on this split: {'; '.join(missing)}. See volsynth evaluate."
        )
    return {"runs": rows, "protocol": protocols[0] if protocols else None, "warnings": warnings}


def table(comparison: Mapping[str, Any]) -> str:
    """The comparison as a Markdown table, warnings below it."""
    names = sorted({name for run in comparison["runs"] for name in run["losses"]})
    scores = [name.replace("_", " ") for name in evaluate.SCORES]
    heads = ["", "steps", *scores, *names, "skipped", "loss scale"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for run in comparison["runs"]:
        found = run["scores"] or {}
        values = [found.get(name) for name in evaluate.SCORES]
        values += [run["losses"].get(name) for name in names]
        low, high = run["loss_scale"]
        scale = "-" if low is None else f"{low:.3g}" + ("" if low == high else f" to {high:.3g}")
        cells = [run["label"], str(run["steps"])]
        cells += ["-" if value is None else f"{value:.3f}" for value in values]
        lines.append("| " + " | ".join([*cells, f"{run['skipped']:.0f}", scale]) + " |")
    return "\n".join([*lines, "", *comparison["warnings"]]).rstrip() + "\n"


def curves(runs: Sequence[Mapping[str, Any]], labels: Sequence[str], path: pathlib.Path) -> None:
    """Draws the logged losses and loss scales of runs over their steps, one panel for each.

    Raises:
      UserError: no run has logged any of them, or the picture cannot be written.
    """
    import matplotlib.figure

    logged = sorted({key for run in runs for row in run["log"] for key in row if "/" in key})
    keys = [key for name in CURVES for key in logged if key.split("/")[-1] == name]
    if not keys:
        raise UserError("no curves to draw: nothing was logged in any of these runs.")
    columns = min(len(keys), 3)
    rows = -(-len(keys) // columns)
    figure = matplotlib.figure.Figure((4 * columns, 2.8 * rows), layout="constrained")
    for key, axes in zip(keys, figure.subplots(rows, columns, squeeze=False).flat):
        for i, (run, label) in enumerate(zip(runs, labels)):
            found = [(row["step"], row[key]) for row in run["log"] if row.get(key) is not None]
            if found:
                steps, values = zip(*found)
                axes.plot(steps, _smoothed(values, key), color=f"C{i}", label=label, linewidth=1)
        axes.set_title(key, fontsize=10)
        axes.set_yscale("log")
        axes.grid(alpha=0.3, which="both", linewidth=0.5)
        axes.tick_params(labelsize=8)
    for axes in figure.axes[len(keys) :]:
        axes.set_axis_off()
    figure.axes[0].legend(fontsize=8)
    figure.supxlabel("step", fontsize=9)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot write the curves to {path}: {error}") from error


def _values(log, name):
    return {
        key: [(row["step"], row[key]) for row in log if row.get(key) is not None]
        for key in {key for row in log for key in row}
        if key.split("/")[-1] == name
    }


def _last_losses(log):
    if not log:
        return {}
    since = log[-1]["step"] * (1 - _LAST)
    losses = {}
    for name in CURVES:
        for key, values in _values(log, name).items():
            last = [value for step, value in values if step > since]
            if name != "loss_scale" and last:
                losses[key] = sum(last) / len(last)
    return losses


def _total(log, name):
    """The sum over the players of the last value of a counter."""
    return sum(values[-1][1] for values in _values(log, name).values() if values)


def _range(log, name):
    values = [value for found in _values(log, name).values() for _, value in found]
    return [min(values), max(values)] if values else [None, None]


def _smoothed(values, key):
    """A running mean; scales are shown as they are."""
    width = max(round(len(values) * _SMOOTHING), 1)
    if key.endswith("loss_scale"):
        return values
    return [
        sum(values[max(i - width, 0) : i + 1]) / (i + 1 - max(i - width, 0))
        for i in range(len(values))
    ]
