"""What an evaluation leaves behind: JSON, tables in Markdown, the scores of every image as CSV."""

import csv
import hashlib
import io
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from volsynth import files
from volsynth.errors import UserError
from volsynth.results import result_files
from volsynth.results.protocol import Protocol

LABEL = "generated"
"""Of what the system made, in results that do not say: those of earlier versions."""

FILE = "results.json"
IMAGES = "images.csv"

_ARROWS = {"higher": "↑", "lower": "↓"}


def write(folder: pathlib.Path, results: Mapping[str, Any]) -> None:
    """Writes `results.json` and `results.md` into a folder, each of them whole."""
    files.write_text(folder / FILE, json.dumps(results, indent=2) + "\n")
    files.write_text(folder / "results.md", report(results))


def read(folder: pathlib.Path) -> dict[str, Any] | None:
    """The results in a folder; None where there are none.

    Raises:
      UserError: the file cannot be read, or has no scores.
    """
    path = folder / FILE
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError):
        found = None
    if not _has_scores(found):
        raise UserError(f"{path} is damaged: it has no scores. Evaluate again: volsynth evaluate.")
    return {"baselines": {}, **found}


def read_images(
    folder: pathlib.Path, results: Mapping[str, Any]
) -> dict[str, dict[str, Any]] | None:
    """{file: {"person", fact or score: value}} of `images.csv`; None where there is none.

    Raises:
      UserError: the file cannot be read, is no such table, or not that of these results.
    """
    path = folder / IMAGES
    try:
        text = path.read_bytes().decode()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from error
    if results.get("images_sha256") not in (None, hashlib.sha256(text.encode()).hexdigest()):
        raise UserError(f"{path} is not of {FILE} beside it. Evaluate again: volsynth evaluate.")
    try:
        table = csv.DictReader(io.StringIO(text), strict=True)
        found = {}
        for line in table:
            name, person = line.pop("file"), line.pop("person")
            scores = {key: float(value) for key, value in line.items() if value != ""}
            found[name] = {"person": person, **scores}
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise UserError(
            f"{path} is damaged: no table of scores. Evaluate again: volsynth evaluate."
        ) from error
    return found


def rows(results: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    """The rows of a table of results, {label: scores}, the system's own first."""
    return {results.get("label", LABEL): results["metrics"], **results["baselines"]}


def table(results: Mapping[str, Any]) -> str:
    """The scores as a Markdown table, one line for each, and the protocol below in one line."""
    return _table(results, rows(results)) + "\n" + _protocol(results).summary() + "\n"


def report(results: Mapping[str, Any]) -> str:
    """The table, the details, and the whole protocol, in Markdown."""
    parts = [table(results)]
    details = results.get("details")
    if details:
        parts.append(_table(results, details))
    protocol = json.dumps(_protocol(results).to_json(), indent=2)
    parts.append(f"<details><summary>Protocol</summary>\n\n```json\n{protocol}\n```\n</details>\n")
    return "\n".join(parts)


def cell(value: float | None, bounds: Sequence[float] | None = None) -> str:
    """A score, and half the width of its interval, as text."""
    if value is None:
        return "-"
    spread = f" ±{_number((bounds[1] - bounds[0]) / 2, value)}" if bounds else ""
    return _number(value, value) + spread


def title(name: str, protocol: Mapping[str, Mapping[str, Any]]) -> str:
    """A score's name for a reader, with an arrow to where better is."""
    arrow = _ARROWS.get(str(protocol.get(name, {}).get("better", "")), "")
    return f"{name.replace('_', ' ')} {arrow}".strip()


def _table(results, found):
    label = results.get("label", LABEL)
    spread = results.get("intervals", {}).get(label, {})
    scores = _protocol(results).scores
    heads = ["", *(row.replace("_", " ") for row in found)]
    lines = []
    for name in found[label]:
        bounds = {label: spread.get(name)}
        values = [cell(values.get(name), bounds.get(row)) for row, values in found.items()]
        lines.append([title(name, scores), *values])
    return aligned(heads, lines)


def aligned(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns stand below one another as plain text, too."""
    widths = [max(len(line[i]) for line in (heads, *lines)) for i in range(len(heads))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    text = []
    for line in (heads, rule, *lines):
        first, *rest = line
        cells = [first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(rest, widths[1:]))]
        text.append("| " + " | ".join(cells) + " |")
    return "\n".join(text) + "\n"


def _number(value, like):
    # Millimetres and levels need no thousandths.
    return f"{value:.3f}" if abs(like) < 10 else f"{value:.2f}"


def _protocol(results):
    return Protocol.of_json(results.get("protocol") or {})


def _has_scores(found):
    try:
        rows = [found["metrics"], *found.get("baselines", {}).values()]
        numbers = [value for row in rows for value in row.values() if value is not None]
        known = "step" in found and isinstance(found["protocol"], dict)
    except (KeyError, TypeError, AttributeError):
        return False
    return known and bool(numbers) and all(isinstance(n, (int, float)) for n in numbers)


def results(workdir: pathlib.Path, split: str) -> dict[str, Any] | None:
    """What `volsynth evaluate` wrote for a split; None without.

    Raises:
      UserError: the file cannot be read, or has no scores.
    """
    return result_files.read(workdir / f"evaluate-{split}")


def splits(workdir: pathlib.Path) -> list[str]:
    """The splits that the run was evaluated on."""
    found = workdir.glob("evaluate-*/results.json")
    return sorted(path.parent.name.removeprefix("evaluate-") for path in found)
