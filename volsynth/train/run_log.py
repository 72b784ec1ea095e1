"""Log files of a run: `metrics.jsonl`, and `starts.jsonl` with a line for each of its starts.

They are read through this module alone. A run may be killed while it writes, or be writing right
now: what is not a whole line is left out and counted.
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
"""Names of the two files of a run's log in its workdir."""

BOOKKEEPING = ("gradient_norm", "loss_scale", "skipped", "skipped_in_a_row")
"""Names of metrics that the engine logs for each player: neither its loss nor a term of it.

Curves are drawn in this order."""

# Beyond it not every whole number is a float any more; a step never gets there.
_LARGEST_STEP = 2**53


class Lines(NamedTuple):
    """The contents of a log file.

    Attributes:
      rows: one row for each step, which is under "step", in ascending order.
      damaged: number of damaged lines, which were left out.
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
    """The records that `record_start` has written, oldest first; damaged lines are left out.

    Raises:
      OSError: the file is there and cannot be read.
    """
    return [row for row in map(_row_of, _texts(workdir / STARTS)) if row]


def drop_after(path: pathlib.Path, step: int) -> None:
    """Removes the rows of later steps, which a resumed run writes again, and damaged lines."""
    if not path.exists():
        return
    kept = [text for text in _texts(path) if (row := _row_of(text)) and row["step"] <= step]
    files.write_text(path, "".join(text + "\n" for text in kept))


def record_start(workdir: pathlib.Path, step: int, facts: dict[str, Any]) -> None:
    """Adds a line to `starts.jsonl`: step, time, version and commit of the code, and `facts`."""
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
    """The git commit of the code, with "+" behind it if files were changed; None without git."""
    # Only of a checkout: an installed package may lie in the repository of something else.
    if not (folder / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--exclude=*", "--dirty=+"]
    try:
        # A file server that hangs must not keep a run from starting.
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _texts(path):
    """The lines that are not empty."""
    try:
        # Bytes of a damaged file may be no text at all; such a line is then no JSON.
        text = path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return []
    # Not splitlines: it also splits at characters that may stand within a string of JSON.
    return [line for line in text.split("\n") if line.strip()]


def _row_of(text):
    """A line's row, or None if it is damaged: a row has a step."""
    try:
        row = json.loads(text)
        step = row["step"]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None
    # True is an int in Python, but no step.
    is_row = isinstance(row, dict) and isinstance(step, int) and not isinstance(step, bool)
    return row if is_row and 0 <= step <= _LARGEST_STEP else None


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
            # Python's json writes and reads NaN, which is no JSON.
            row[key] = float(value) if math.isfinite(value) else None
        except OverflowError:  # An integer of hundreds of digits.
            return None
    return row
