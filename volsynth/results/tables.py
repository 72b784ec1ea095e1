"""Tables of results in Markdown, which stand in columns as plain text, too."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from volsynth.results.protocol import Protocol

DEFAULT_LABEL = "generated"
"""The label of the row of what was made, in results that do not say: those of other programs."""

_ARROWS = {"higher": "↑", "lower": "↓"}


def own_label(results: Mapping[str, Any]) -> str:
    """The label of the row of what the system made, as opposed to the baselines."""
    return results.get("label", DEFAULT_LABEL)


def score_rows(results: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    """The rows of a table of results, {label: scores}, the system's own first."""
    return {own_label(results): results["metrics"], **results["baselines"]}


def results_table(results: Mapping[str, Any]) -> str:
    """The scores as a Markdown table, one line for each, and the protocol below in one line."""
    return _table(results, score_rows(results)) + "\n" + _protocol(results).summary() + "\n"


def results_report(results: Mapping[str, Any]) -> str:
    """The table of results, the table of details, and the whole protocol, in Markdown."""
    parts = [results_table(results)]
    details = results.get("details")
    if details:
        parts.append(_table(results, details))
    protocol = json.dumps(_protocol(results).to_json(), indent=2)
    parts.append(f"<details><summary>Protocol</summary>\n\n```json\n{protocol}\n```\n</details>\n")
    return "\n".join(parts)


def score_cell(value: float | None, bounds: Sequence[float] | None = None) -> str:
    """A score, and half the width of its interval, as the text of a cell.

    Args:
      value: the score; None is shown as a dash.
      bounds: low and high end of its interval; None where there is no interval.
    """
    if value is None:
        return "-"
    # Half the width, though an interval by a bootstrap need not be symmetric.
    spread = f" ±{_number((bounds[1] - bounds[0]) / 2, value)}" if bounds else ""
    return _number(value, value) + spread


def score_title(name: str, protocol: Mapping[str, Mapping[str, Any]]) -> str:
    """A score's name for a reader, with an arrow up or down to where better is.

    Args:
      name: name of the score in results.
      protocol: entries of the protocol by score; a score without one has no arrow.
    """
    arrow = _ARROWS.get(str(protocol.get(name, {}).get("better", "")), "")
    return f"{name.replace('_', ' ')} {arrow}".strip()


def markdown_table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns stand below one another as plain text, too.

    Args:
      heads: titles of the columns; the first column is aligned to the left, all others to the
        right.
      lines: cells of each line, as many as there are titles.
    """
    widths = [max(len(line[i]) for line in (heads, *lines)) for i in range(len(heads))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    text = []
    for line in (heads, rule, *lines):
        first, *rest = line
        # Numbers are aligned to the right, so that their decimal points stand below one another.
        cells = [first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(rest, widths[1:]))]
        text.append("| " + " | ".join(cells) + " |")
    return "\n".join(text) + "\n"


def _table(results, rows):
    label = own_label(results)
    spread = results.get("intervals", {}).get(label, {})
    scores = _protocol(results).scores
    heads = ["", *(row.replace("_", " ") for row in rows)]
    lines = []
    for name in rows[label]:
        # Intervals of baselines are in the JSON; in the table they would hide the scores.
        bounds = {label: spread.get(name)}
        values = [score_cell(values.get(name), bounds.get(row)) for row, values in rows.items()]
        lines.append([score_title(name, scores), *values])
    return markdown_table(heads, lines)


def _number(value, like):
    # Millimetres and levels of 8 bits need no thousandths. An interval has the digits of its score.
    return f"{value:.3f}" if abs(like) < 10 else f"{value:.2f}"


def _protocol(results):
    return Protocol.from_json(results.get("protocol") or {})
