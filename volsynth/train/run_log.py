"""The lines a run leaves: `metrics.jsonl`, and `starts.jsonl`, a line for each time it was started.

Whoever reads them reads them here. A run may be killed while it writes, or be at it right now: what
is not a whole line is left out and counted.
"""

import json
import math
import pathlib
import subprocess
import time
from typing import Any, NamedTuple

import volsynth
from volsynth import files

METRICS, STARTS = "metrics.jsonl", "starts.jsonl"

# Beyond it a float has no whole numbers any more; a step never gets there.
_LARGEST_STEP = 2**53


class Lines(NamedTuple):
    """What a file of lines holds.

    Attributes:
      rows: each has a "step"; in the order of the steps, and one for each step.
      damaged: how many lines were left out.
    """

    rows: list[dict[str, Any]]
    damaged: int


def read_metrics(workdir: pathlib.Path) -> Lines:
    """The rows of a workdir's `metrics.jsonl`: {"step": int, key: float, or None if not finite}.

    Raises:
      OSError: the file is there and cannot be read.
    """
    texts = _texts(workdir / METRICS)
    parsed = [_metrics_of(text) for text in texts]
    # A run that went on from a checkpoint may have logged a step twice; the later one counts.
    by_step = {row["step"]: row for row in parsed if row}
    return Lines([by_step[step] for step in sorted(by_step)], parsed.count(None))


def read_starts(workdir: pathlib.Path) -> list[dict[str, Any]]:
    """What `record_start` wrote, in that order; damaged lines are left out.

    Raises:
      OSError: the file is there and cannot be read.
    """
    return [row for row in map(_row_of, _texts(workdir / STARTS)) if row]


def drop_after(path: pathlib.Path, step: int) -> None:
    """Removes rows beyond a step, which a resumed run writes again, and damaged lines."""
    if not path.exists():
        return
    kept = [text for text in _texts(path) if (row := _row_of(text)) and row["step"] <= step]
    files.write_text(path, "".join(text + "\n" for text in kept))


def record_start(workdir: pathlib.Path, step: int, facts: dict[str, Any]) -> None:
    """Adds a line to `starts.jsonl`: step, time, version and commit of the code, `facts`."""
    record = {
        "step": step,
        "time": time.time(),
        "version": volsynth.__version__,
        "commit": commit(),
        **facts,
    }
    with (workdir / STARTS).open("a") as file:
        file.write(json.dumps(record) + "\n")


def commit(folder: pathlib.Path = pathlib.Path(volsynth.__file__).parents[1]) -> str | None:
    """The git commit of the code, "+" behind it if files were changed; None if git knows none."""
    # Only of a checkout: an installed package may lie in the repository of something else.
    if not (folder / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--exclude=*", "--dirty=+"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _texts(path):
    """The lines that are not empty."""
    try:
        text = path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return []
    return [line for line in text.split("\n") if line.strip()]


def _row_of(text):
    """A line's row, or None if it is damaged: a row has a step."""
    try:
        row = json.loads(text)
        step = row["step"]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None
    whole = isinstance(row, dict) and isinstance(step, int) and not isinstance(step, bool)
    return row if whole and 0 <= step <= _LARGEST_STEP else None


def _metrics_of(text):
    row = _row_of(text)
    if row is None:
        return None
    for key, value in row.items():
        if key == "step" or value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        try:
            row[key] = float(value) if math.isfinite(value) else None
        except OverflowError:
            return None
    return row
