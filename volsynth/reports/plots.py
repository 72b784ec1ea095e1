"""Pictures of the curves of logged figures over the steps of runs."""

import math
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from volsynth.errors import UserError
from volsynth.reports import logged
from volsynth.reports.logged import Log

# Width of the running mean, as a share of a curve's length: one point of a loss is a single batch.
_SMOOTHING = 0.05
# The factor between the lowest and the highest value from which an axis is logarithmic.
_LOGARITHMIC_FROM = 4
# Colours of the runs, in turn, for light pages and for dark ones.
_LIGHT = ("#2468b4", "#d2691e", "#2a8a4a", "#c0354f", "#7550c8", "#8a6d12")
_DARK = ("#6cb0f5", "#f2a65a", "#6fce94", "#ee8093", "#b79cf0", "#cbb26a")
# Figures that change by decisions, not by noise: steps rather than a running mean.
_STEPPED = ("loss_scale", "skipped", "skipped_in_a_row")
_MEBIBYTES = 2**20


def figure(
    logs: Sequence[Log],
    labels: Sequence[str],
    keys: Sequence[str],
    raw: bool = False,
    dark: bool = False,
) -> Any:
    """A matplotlib figure of smoothed curves, one panel for each key, one colour for each run.

    Args:
      logs: logs of the runs.
      labels: labels of the runs, for the legend; there is none for a single run.
      keys: keys of the logs to draw.
      raw: whether the values themselves are drawn, too, faintly.
      dark: whether the figure is for a dark page.

    Raises:
      UserError: there is nothing to draw.
    """
    # Imported here: it takes a second, and most commands draw nothing.
    import matplotlib
    from matplotlib.figure import Figure

    if not keys:
        raise UserError("no curves to draw: nothing was logged in any of these runs.")
    columns = min(len(keys), 3)
    rows = -(-len(keys) // columns)
    with matplotlib.rc_context(_theme(dark)):
        # Not from pyplot, whose figures stay in memory until they are closed.
        drawn = Figure((4 * columns, 2.6 * rows + 0.2), layout="constrained")
        panels = drawn.subplots(rows, columns, squeeze=False, sharex=True)
        for key, axes in zip(keys, panels.flat):
            _panel(axes, logs, labels, key, raw, _DARK if dark else _LIGHT)
        for axes in drawn.axes[len(keys) :]:
            axes.set_axis_off()
        drawn.supxlabel("step", fontsize=9)
        if len(logs) > 1:
            drawn.legend(
                *_legend(drawn.axes, labels),
                loc="outside upper left",
                ncols=min(len(logs), 4),
                fontsize=9,
                frameon=False,
            )
    return drawn


def save(drawn: Any, path: pathlib.Path) -> None:
    """Writes a figure to a file; makes its folder where there is none.

    Raises:
      UserError: it cannot be written, or matplotlib does not know the kind of file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn.savefig(path, dpi=110)
    # ValueError is what matplotlib raises for a suffix that it does not know.
    except (OSError, ValueError) as error:
        raise UserError(f"cannot write the curves to {path}: {error}") from error


def _panel(axes, logs, labels, key, raw, colours):
    """Draws one key of all runs."""
    from matplotlib import ticker

    shown = [
        _curve(axes, log, label, key, raw, colours[i % len(colours)])
        for i, (log, label) in enumerate(zip(logs, labels))
    ]
    axes.set_title(_title(key), fontsize=10, loc="left")
    axes.grid(alpha=0.25, linewidth=0.5)
    axes.tick_params(labelsize=8, labelbottom=True)
    axes.spines[["top", "right"]].set_visible(False)
    _scale(axes, np.concatenate(shown), logged.is_of_player(key))
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))


def _curve(axes, log, label, key, raw, colour):
    """Draws one key of one run; returns the finite values that were drawn."""
    name = logged.split_key(key)[1]
    unit = _MEBIBYTES if name.endswith("_bytes") else 1
    rows = [row for row in log if key in row]
    if not rows:
        return np.zeros(0)
    steps = np.array([row["step"] for row in rows])
    found = np.array([math.nan if row[key] is None else row[key] / unit for row in rows])
    smooth = found if name in _STEPPED else _smoothed(found)
    if raw and name not in _STEPPED:
        axes.plot(steps, found, color=colour, linewidth=0.6, alpha=0.35)
    style = {"drawstyle": "steps-post"} if name in _STEPPED else {}
    # A line through a single point would be invisible.
    style |= {"marker": "."} if len(rows) == 1 else {}
    axes.plot(steps, smooth, color=colour, label=label, linewidth=1.4, **style)
    shown = found if raw else smooth
    return shown[np.isfinite(shown)]


def _scale(axes, shown, may_be_logarithmic):
    """Sets the scale of the vertical axis by the values that are shown."""
    from matplotlib import ticker

    if not shown.size:
        return
    low, high = shown.min(), shown.max()
    # Only losses and the like span decades; a speed or a share is read from zero.
    if may_be_logarithmic and low > 0:
        if high >= _LOGARITHMIC_FROM * low:
            axes.set_yscale("log")
            decades = math.log10(high / low)
            subs = (1.0, 2.0, 5.0) if decades < 3 else (1.0,)
            axes.yaxis.set_major_locator(ticker.LogLocator(subs=subs))
            axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(ticker.NullFormatter())
    elif low >= 0:
        axes.set_ylim(bottom=0)


def _title(key):
    return key.replace("_bytes", "_memory, MiB").replace("_", " ").replace("/", ": ")


def _legend(panels, labels):
    """A handle for each label that is drawn anywhere, in the order of the labels."""
    # matplotlib's own would leave out labels that begin with an underscore.
    found = {line.get_label(): line for axes in panels for line in axes.get_lines()}
    shown = [label for label in dict.fromkeys(labels) if label in found]
    return [found[label] for label in shown], shown


def _smoothed(found):
    """A running mean over the finite values up to each one; NaN where there are none."""
    width = max(round(len(found) * _SMOOTHING), 1)
    finite = np.isfinite(found)
    # Differences of cumulative sums, so that the width of the window costs nothing.
    sums = np.concatenate([[0.0], np.cumsum(np.where(finite, found, 0.0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    after = np.arange(1, len(found) + 1)
    before = np.maximum(after - width - 1, 0)
    count = counts[after] - counts[before]
    return np.where(count > 0, (sums[after] - sums[before]) / np.maximum(count, 1), math.nan)


def _theme(dark):
    ink, page = ("#d6d9de", "#16181d") if dark else ("#24272e", "#ffffff")
    names = ("axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "legend.labelcolor")
    names += ("text.color", "xtick.color", "ytick.color", "grid.color")
    return {
        **dict.fromkeys(names, ink),
        "axes.facecolor": page,
        "figure.facecolor": page,
        "axes.titlepad": 8,
        # Names of runs and figures may have a dollar sign, and are no formulas.
        "text.parse_math": False,
    }
