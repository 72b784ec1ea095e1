"""What a run has left in its workdir, read without touching it; the run may still be at work."""

import pathlib
import re
from typing import Any

from volsynth import results as evaluations
from volsynth.errors import UserError
from volsynth.train import log
from volsynth.train import workdir as workdirs


def read(workdir: pathlib.Path) -> dict[str, Any]:
    """What the run is and what it logged.

    Returns:
      {"workdir", "config", "data", "log", "damaged", "starts"}: `log` has the rows of
      `metrics.jsonl` in the order of their steps, `damaged` is how many of its lines could not be
      read, `starts` the rows of `starts.jsonl`.

    Raises:
      UserError: it holds no run, or a file in it cannot be read.
    """
    run = workdirs.read_run(workdir)
    try:
        rows, damaged = log.read_metrics(workdir)
        starts = log.read_starts(workdir)
    except OSError as error:
        raise UserError(f"{workdir}: metrics cannot be read: {error.strerror}.") from error
    return {"workdir": str(workdir), **run, "log": rows, "damaged": damaged, "starts": starts}


def results(workdir: pathlib.Path, split: str) -> dict[str, Any] | None:
    """What `volsynth evaluate` wrote for a split; None without.

    Raises:
      UserError: the file cannot be read, or has no scores.
    """
    return evaluations.read(workdir / f"evaluate-{split}")


def splits(workdir: pathlib.Path) -> list[str]:
    """The splits that the run was evaluated on."""
    found = workdir.glob("evaluate-*/results.json")
    return sorted(path.parent.name.removeprefix("evaluate-") for path in found)


def samples(workdir: pathlib.Path) -> list[tuple[int, pathlib.Path]]:
    """The sample pictures of training, [(step, file)] in the order of the steps."""
    named = [
        (re.fullmatch(r"step_(\d+)\.png", path.name), path)
        for path in (workdir / "samples").glob("*.png")
    ]
    return sorted((int(match[1]), path) for match, path in named if match)


def last_step(config: dict[str, Any]) -> int | None:
    """The step at which a run of this config is finished; None if the config does not say."""
    steps = (config.get("train") or {}).get("steps")
    counts = list(steps.values()) if isinstance(steps, dict) else [steps]
    return sum(counts) if counts and all(isinstance(count, int) for count in counts) else None
