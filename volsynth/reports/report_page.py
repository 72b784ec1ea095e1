"""One page about a run, or about several beside one another, that needs nothing but itself.

Everything is in the file: pictures as data URIs, no script, nothing from another address. The HTML
is in `page.html`, a template of Jinja; here is what it shows.
"""

import functools
import importlib.resources
import json
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from volsynth import files
from volsynth.errors import os_errors_explained
from volsynth.reports import history, logged, plots
from volsynth.reports.data_uris import figure_uri, picture_uri
from volsynth.reports.labels import label_runs
from volsynth.reports.run_facts import date_text, run_facts
from volsynth.results import result_files, tables
from volsynth.train import run_log

SAMPLES = 8
"""Largest number of sample pictures of a run; the first and the last are among them."""

# Runs whose labels are longer than this go by the names of their folders.
_LONGEST_LABEL = 40


def read(workdir: pathlib.Path) -> dict[str, Any]:
    """Reads all that a page shows of a run.

    Returns:
      The entries of `history.read`, and "results" {split: results}, "samples" [(step, file)] and
      "seen", when the run last wrote a line, in seconds since the epoch; None if it never did.

    Raises:
      UserError: the folder holds no run, or a file in it cannot be read.
    """
    run = history.read(workdir)
    times = [value for _, value in logged.values(run["log"], "time")]
    metrics = workdir / run_log.METRICS
    # A log without times is as old as its file.
    seen = times[-1] if times else metrics.stat().st_mtime if metrics.exists() else None
    splits = result_files.evaluated_splits(workdir)
    results = {split: result_files.read_split(workdir, split) for split in splits}
    return {**run, "results": results, "samples": history.samples(workdir), "seen": seen}


def write(runs: Sequence[Mapping[str, Any]], path: pathlib.Path) -> None:
    """Writes the page of runs to a file.

    Args:
      runs: what `read` returned for each.
      path: the file.

    Raises:
      UserError: the file cannot be written.
    """
    text = page(runs, now=time.time())
    with os_errors_explained("write the report to", path):
        files.write_text(path, text)


def draw(runs: Sequence[Mapping[str, Any]], path: pathlib.Path) -> None:
    """Writes the curves of runs alone, as a picture.

    Args:
      runs: what `read` returned for each.
      path: the file; its suffix says which kind of picture.

    Raises:
      UserError: nothing was logged, or the file cannot be written.
    """
    logs = [run["log"] for run in runs]
    keys, _ = logged.drawn_keys(logs)
    plots.save(plots.figure(logs, _labels(runs)[0], keys, raw=True), path)


def page(runs: Sequence[Mapping[str, Any]], now: float) -> str:
    """The page of runs, as HTML.

    Args:
      runs: what `read` returned for each.
      now: time of the report, in seconds since the epoch.
    """
    labels, differing = _labels(runs)
    names = [pathlib.Path(run["workdir"]).resolve().name for run in runs]
    systems = sorted({str(run["config"].get("system", "run")) for run in runs})
    columns = [run_facts(run, differing, now) for run in runs]
    facts = list(dict.fromkeys(name for column in columns for name in column))
    several = len(runs) > 1
    return _template().render(
        title=f"{', '.join(systems)}: {', '.join(names)}",
        labels=labels if several else None,
        facts=[[name, *(column.get(name, "–") for column in columns)] for name in facts],
        curves=_curves([run["log"] for run in runs], labels),
        runs=[
            {
                "label": f": {label}" if several else "",
                "samples": _samples(run),
                "results": [_scores(run, *found) for found in run["results"].items()],
                "config": _as_json(run["config"]),
            }
            for run, label in zip(runs, labels)
        ],
        made=date_text(now),
    )


@functools.cache
def _template():
    text = importlib.resources.files(__package__).joinpath("page.html").read_text("utf-8")
    environment = jinja2.Environment(
        # Names of runs, keys and configs are anyone's text: all of it is escaped.
        autoescape=True,
        keep_trailing_newline=True,
        # A misspelt name is an error rather than an empty place on the page.
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string(text)


def _labels(runs):
    """Labels that tell the runs apart, and the keys of the config that differ."""
    found, differs = label_runs(runs)
    if max(map(len, found)) > _LONGEST_LABEL:
        found = [pathlib.Path(run["workdir"]).resolve().name for run in runs]
    if len(set(found)) < len(found):
        found = [run["workdir"] for run in runs]
    return found, list(differs[0])


def _curves(logs, labels):
    """The figure for light and for dark pages, its description, and the keys without a curve."""
    keys, constant = logged.drawn_keys(logs)
    if not keys:
        return None
    light, dark = (
        figure_uri(plots.figure(logs, labels, keys, raw=True, dark=d)) for d in (False, True)
    )
    spans = []
    for key in keys:
        for log, label in zip(logs, labels):
            found = logged.values(log, key)
            if found:
                name = f"{key} ({label})" if len(logs) > 1 else key
                spans.append(f"{name} from {found[0][1]:.3g} to {found[-1][1]:.3g}")
    return {
        "light": light,
        "dark": dark,
        # For readers who do not see the picture: where each curve begins and ends.
        "description": "Curves over the steps: " + "; ".join(spans),
        "constant": "; ".join(f"{key} is {value:g}" for key, value in constant.items()),
    }


def _samples(run):
    chosen = [(step, picture_uri(path)) for step, path in _evenly(run["samples"], SAMPLES)]
    return {
        "pictures": [{"step": step, "uri": uri} for step, uri in chosen if uri is not None],
        "lost": sum(uri is None for _, uri in chosen),
    }


def _evenly(found, count):
    """At most `count` of a list, evenly chosen, the first and the last among them."""
    if len(found) <= count:
        return found
    return [found[round(i * (len(found) - 1) / (count - 1))] for i in range(count)]


def _scores(run, split, results):
    """The table of scores of a split, its gallery where there is one, and the protocol."""
    rows = tables.score_rows(results)
    names = list(dict.fromkeys(name for values in rows.values() for name in values))
    gallery = pathlib.Path(run["workdir"]) / f"evaluate-{split}" / "gallery.png"
    columns = ", ".join(results.get("columns", ()))
    return {
        "split": split,
        "step": f"{results['step']:,}",
        "heads": ["", *(name.replace("_", " ") for name in names)],
        "rows": [
            [label.replace("_", " "), *(tables.score_cell(values.get(name)) for name in names)]
            for label, values in rows.items()
        ],
        "gallery": picture_uri(gallery) if gallery.exists() else None,
        "description": f"Gallery of {split}: {columns}" if columns else f"Gallery of {split}",
        "protocol": _as_json(results["protocol"]),
    }


def _as_json(value):
    return json.dumps(value, indent=2, ensure_ascii=False)
