"""The files that a run has left in its workdir, read without touching them.

The run may still be at work.
"""

import pathlib
import re
from typing import Any

from volsynth.errors import os_errors_explained
from volsynth.train import run_log, run_record


def read(workdir: pathlib.Path) -> dict[str, Any]:
    """Reads the record of a run and what it logged.

    Returns:
      {"workdir", "config", "data", "log", "damaged", "starts"}: `log` has the rows of
      `metrics.jsonl` in the order of their steps, `damaged` is how many of its lines could not be
      read, `starts` has the rows of `starts.jsonl`.

    Raises:
      UserError: the folder holds no run, or a file in it cannot be read.
    """
    run = run_record.read_run(workdir)
    with os_errors_explained("read", f"{workdir}: metrics", path_first=True):
        rows, damaged = run_log.read_metrics(workdir)
        starts = run_log.read_starts(workdir)
    return {"workdir": str(workdir), **run, "log": rows, "damaged": damaged, "starts": starts}


def samples(workdir: pathlib.Path) -> list[tuple[int, pathlib.Path]]:
    """The sample pictures of training, [(step, file)] in the order of the steps."""
    # Pictures of other names may lie there, and are no samples.
    named = [
        (re.fullmatch(r"step_(\d+)\.png", path.name), path)
        for path in (workdir / "samples").glob("*.png")
    ]
    return sorted((int(match[1]), path) for match, path in named if match)
