"""The comparison of runs as Markdown tables."""

from collections.abc import Mapping
from typing import Any

from volsynth.results.protocol import Protocol
from volsynth.results.tables import markdown_table, score_cell, score_title


def comparison_table(comparison: Mapping[str, Any]) -> str:
    """A comparison as Markdown tables, with protocols and warnings below them.

    Args:
      comparison: what `compare.compare` returned.
    """
    runs, protocols = comparison["runs"], comparison["protocols"]
    # In the order of the results, which is not that of the alphabet.
    scores = list(dict.fromkeys(score for run in runs for score in run["scores"] or ()))
    entries = {k: v for p in protocols.values() for k, v in p["scores"].items()}
    titles = {name: score_title(name, entries) for name in scores}
    parts = [_runs_table(runs, titles, len(protocols) > 1), _differences_table(runs, titles)]
    lines = [*_summaries(protocols), *comparison["warnings"]]
    return "\n".join([part for part in parts if part] + lines).rstrip() + "\n"


def _runs_table(runs, titles, several):
    """A line for each run; with several protocols a column says by which one it was scored."""
    # All terms that any run has: objectives differ, and a run without a term has a dash.
    losses = sorted({name for run in runs for name in run["losses"]})
    heads = ["", "steps", *titles.values(), *(["protocol"] if several else [])]
    heads += [*losses, "skipped", "loss scale"]
    lines = []
    for run in runs:
        found, spread = run["scores"] or {}, run["intervals"] or {}
        cells = [run["label"], _steps(run)]
        cells += [score_cell(found.get(name), spread.get(name)) for name in titles]
        cells += [run["protocol"] or "-"] if several else []
        cells += [score_cell(run["losses"].get(name)) for name in losses]
        lines.append([*cells, f"{run['skipped']:.0f}", _scale(*run["loss_scale"])])
    return markdown_table(heads, lines)


def _differences_table(runs, titles):
    """A line for each run that has differences from the first one; empty without any."""
    paired = [run for run in runs if run["against_first"]]
    if not paired:
        return ""
    shown = [name for name in titles if any(name in run["against_first"] for run in paired)]
    heads = [f"difference from {runs[0]['label']}", *(titles[name] for name in shown)]
    lines = [
        [run["label"], *(_difference(run["against_first"].get(name)) for name in shown)]
        for run in paired
    ]
    return markdown_table(heads, lines)


def _summaries(protocols):
    """A line about each protocol, with its letter where there are several."""
    lines = [Protocol.from_json(protocol).summary() for protocol in protocols.values()]
    if len(lines) > 1:
        lines = [f"{letter}: {line}" for letter, line in zip(protocols, lines)]
    return lines


def _steps(run):
    """The number of training steps of a run, and the scored step if it is not the last."""
    # Results without a run have no seed.
    if run["seed"] is None:
        return "-"
    # A row of results alone has no step, and a run may be scored at an earlier checkpoint.
    other = run["scored_step"] not in (None, run["steps"]) and run["steps"]
    return f"{run['steps']}, scored {run['scored_step']}" if other else str(run["steps"])


def _scale(low, high):
    if low is None:
        return "-"
    return f"{low:.3g}" + ("" if low == high else f" to {high:.3g}")


def _difference(found):
    if found is None:
        return "-"
    value, low, high = found
    return f"{value:+.3f}" + ("" if low is None else f" [{low:+.3f}, {high:+.3f}]")
