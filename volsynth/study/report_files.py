"""A report as files for people: Markdown and plots, beside its JSON."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from volsynth import files
from volsynth.errors import os_errors_explained
from volsynth.study import agreement, plots
from volsynth.study.report import LEVEL


def markdown(found: Mapping[str, Any]) -> str:
    """The report that `report.report` returned, as Markdown."""
    blocks = [
        f"# A study of {len(found['methods'])} methods by {_judges(found['judges'])}",
        f"Ratings are in units in which σ(difference) is the probability to win; in brackets "
        f"{LEVEL:.0%} intervals.",
    ]
    for task in found["answers"]:
        blocks += _task_blocks(found, task)
    correlated = {task: row for task, row in found["spearman"].items() if row}
    if correlated:
        blocks += [
            "## Metrics",
            "Spearman's correlation with the ratings; (!) runs against what is better.",
            agreement.table(correlated, found["better"]),
        ]
    if found["warnings"]:
        blocks += ["## Notes", "\n".join(f"* {line}" for line in found["warnings"])]
    return "\n\n".join(blocks) + "\n"


def _task_blocks(found, task):
    heading, decisions = f"## {task.capitalize()}", _decisions(found, task)
    if task in found["unrated"]:
        return [heading, f"{decisions} Not rated yet: {found['unrated'][task]}"]
    elo = found["elo"][task]
    best_first = sorted(elo, key=elo.get, reverse=True)
    return [
        heading,
        f"{decisions} {_agreement(found['icc'][task])}",
        _ratings_table(found, task, best_first),
    ]


def _judges(count):
    return "one judge" if count == 1 else f"{count} judges"


def _decisions(found, task):
    count = found["answers"][task]
    number = "One decision" if count == 1 else f"{count} decisions"
    return f"{number}, {found['ties'][task]:.0%} of them ties."


def _agreement(icc):
    if icc is None:
        return "Agreement between judges is not known."
    return (
        f"Agreement of {icc['judges']} judges, ICC(3,1): {icc['value']:.2f} "
        f"[{icc['low']:.2f}, {icc['high']:.2f}]."
    )


def _ratings_table(found, task, order):
    """Ratings in this order, and the points of each row's method against each column's."""
    number = {name: i for i, name in enumerate(found["methods"])}
    lines = [
        "| | rating | interval | " + " | ".join(f"against {name}" for name in order) + " |",
        "|---" * (len(order) + 3) + "|",
    ]
    points = found["points"][task]

    def score(i, j):
        return "–" if i == j else f"{points[i][j]:g} : {points[j][i]:g}"

    for name in order:
        ends = found["intervals"][task][name]
        interval = "–" if ends is None else f"[{ends[0]:+.2f}, {ends[1]:+.2f}]"
        cells = [score(number[name], number[other]) for other in order]
        rating = f"{found['elo'][task][name]:+.2f} | {interval}"
        lines.append(f"| {name} | {rating} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write(found: Mapping[str, Any], out: pathlib.Path) -> list[pathlib.Path]:
    """Writes a report into a folder.

    The files are report.json, report.md, ratings.png, wins.png and, where metrics are compared,
    metrics.png.

    Args:
      found: what `report.report` returned.
      out: the folder, which is made where there is none.

    Returns:
      The files.

    Raises:
      UserError: a file cannot be written.
    """
    # All drawn before the first is written: an error of drawing leaves no half of a report.
    drawn = {"ratings.png": plots.ratings(found), "wins.png": plots.wins(found)}
    if found["scores"]:
        drawn["metrics.png"] = plots.metrics(found)
    with os_errors_explained("write the report to", out):
        files.write_text(out / "report.json", json.dumps(found, indent=2) + "\n")
        files.write_text(out / "report.md", markdown(found))
        for name, figure in drawn.items():
            # Bound now: a closure would see the figure of the last turn.
            save = figure.savefig
            files.write_atomically(out / name, lambda file, save=save: save(file, format="png"))
    return [out / name for name in ("report.json", "report.md", *drawn)]
