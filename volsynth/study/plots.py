"""Plots of a report: ratings, shares of points, and metrics against ratings."""

from collections.abc import Mapping
from typing import Any

import numpy as np

Report = Mapping[str, Any]
"""A report as `volsynth.study.report.report` returns it."""


def ratings(found: Report) -> Any:
    """Plots the ratings of each task, as figure 5.1 of Knoche 2019 does.

    Single judges are thin lines, all judges together a line with intervals; the method with the
    lowest rating comes first.
    """
    figure, panels = _panels(len(found["elo"]))
    for axes, (task, elo) in zip(panels.flat, found["elo"].items()):
        order = sorted(elo, key=elo.get)
        places = np.arange(len(order))
        for of_judge in found["elo_of_judges"][task].values():
            values = [of_judge[name] for name in order]
            axes.plot(places, values, color="#2468b4", linewidth=0.8, alpha=0.35)
        middle = np.array([elo[name] for name in order])
        ends = [found["intervals"][task][name] or (np.nan, np.nan) for name in order]
        low, high = np.array(ends).T
        # A method without an interval gets a bar of no length; rounding must not make a length
        # negative, which Matplotlib refuses.
        reach = np.maximum(np.nan_to_num([middle - low, high - middle]), 0)
        axes.errorbar(places, middle, reach, color="#24272e", marker="o", markersize=4, capsize=3)
        # Names are no formulas, whatever stands in them.
        axes.set_xticks(places, order, rotation=30, ha="right", parse_math=False)
        axes.set_title(task, fontsize=10, loc="left")
        axes.grid(alpha=0.25, linewidth=0.5)
    panels[0, 0].set_ylabel("rating", fontsize=9)
    _say_unrated(figure, found)
    return figure


def wins(found: Report) -> Any:
    """Plots for each task the share of points that the row's method took from the column's."""
    size = len(found["methods"])
    side = max(3.4, 0.5 * size + 1.6)
    figure, panels = _panels(len(found["elo"]), width=side, height=side + 0.3)
    for axes, (task, elo) in zip(panels.flat, found["elo"].items()):
        order = sorted(range(size), key=lambda i: -elo[found["methods"][i]])
        points = np.array(found["points"][task])[np.ix_(order, order)]
        games = points + points.T
        share = np.divide(points, games, out=np.full(points.shape, np.nan), where=games > 0)
        axes.imshow(share, cmap="RdBu", vmin=0, vmax=1)
        for i, j in np.ndindex(size, size):
            if games[i, j]:
                # The ends of the colour map are dark.
                ink = "white" if abs(share[i, j] - 0.5) > 0.3 else "black"
                axes.text(
                    j, i, f"{100 * share[i, j]:.0f}", ha="center", va="center", color=ink, size=8
                )
        names = [found["methods"][i] for i in order]
        axes.set_xticks(range(size), names, rotation=45, ha="right", parse_math=False)
        axes.set_yticks(range(size), names, parse_math=False)
        axes.set_title(f"{task}: % of points of row", fontsize=10, loc="left")
    _say_unrated(figure, found)
    return figure


def metrics(found: Report) -> Any:
    """Plots ratings over metrics' scores, as figure 5.2 of Knoche 2019 does.

    There is a row for each task and a column for each metric.
    """
    figure, panels = _panels(len(found["scores"]), len(found["elo"]), 2.6, 2.3)
    for row, (task, elo) in zip(panels, found["elo"].items()):
        for axes, (metric, scores) in zip(row, found["scores"].items()):
            for name in found["methods"]:
                axes.plot(scores[name], elo[name], "o", markersize=4, color="#2468b4")
                axes.annotate(
                    name,
                    (scores[name], elo[name]),
                    (3, 3),
                    textcoords="offset points",
                    size=6,
                    parse_math=False,
                )
            rho = found["spearman"][task].get(metric, {}).get("rho")
            tail = "" if rho is None else f", ρ = {rho:.2f}"
            axes.margins(0.25)
            axes.locator_params(nbins=4)
            axes.set_title(f"{metric.replace('_', ' ')}{tail}", fontsize=9, parse_math=False)
        row[0].set_ylabel(task, fontsize=9)
    _say_unrated(figure, found)
    return figure


def _say_unrated(figure, found):
    if found["unrated"]:
        figure.supxlabel(f"not rated yet: {', '.join(found['unrated'])}", fontsize=8)


def _panels(columns, rows=1, width=4.2, height=3.4):
    # Late: Matplotlib takes long to import, and a server of a study draws nothing.
    from matplotlib.figure import Figure

    # No pyplot, which would keep every figure open and may ask for a display.
    figure = Figure((width * columns, height * rows), dpi=110, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    return figure, panels
