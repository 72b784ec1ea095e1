"""The state of a training run, read from its workdir and nowhere else."""

import contextlib
import fcntl
import json
import os
import pathlib
import time
from collections.abc import Iterator
from typing import Any

from volsynth import files
from volsynth.config import last_step
from volsynth.errors import os_errors_explained

LOG = "train.log"
"""The file in a workdir that has the output of the commands of a run."""

_LOCK, _FAILURE = "sweep.lock", "failure.json"
"""The files in a workdir by which a sweep knows that a run is under way, or has failed."""


def read(workdir: pathlib.Path, steps: int) -> dict[str, Any]:
    """Reads the state of a run: {"state", "step", "steps", "reason"}.

    The state is "finished" if the newest checkpoint is the last step; "running" if a process holds
    the workdir; "failed" if the last attempt did; "stopped" if there is something to go on from;
    otherwise "waiting".

    Args:
      workdir: the workdir of the run, whether it exists or not.
      steps: how many steps the run will have, if it has not begun.
    """
    run = _json(workdir / "run.json")
    # What the run was started with counts, although the specification may have changed.
    begun = last_step((run or {}).get("config"))
    steps = steps if begun is None else begun
    saved = newest_checkpoint(workdir)
    # Checkpoints are rare; the log knows of the steps since the last one.
    step = max(saved or 0, _logged_step(workdir))
    failure = _json(workdir / _FAILURE) or {}
    found, reason = "waiting", None
    if _held(workdir):
        found = "running"
    elif saved is not None and saved >= steps:
        found = "finished"
        if failure.get("doing") == "evaluate":
            found, reason = "failed", failure.get("reason")
    elif failure:
        found, reason = "failed", failure.get("reason")
    elif run is not None:
        found = "stopped"
    return {"state": found, "step": step, "steps": steps, "reason": reason}


def newest_checkpoint(workdir: pathlib.Path) -> int | None:
    """The step of the newest complete checkpoint; None where there is none.

    A checkpoint that is being written has a longer name than its number.
    """
    folder = workdir / "checkpoints"
    found = [int(p.name) for p in folder.iterdir() if p.name.isdigit()] if folder.is_dir() else []
    return max(found, default=None)


def scored_step(workdir: pathlib.Path, split: str = "test") -> int | None:
    """The step that was evaluated last; None where none was."""
    return (_json(workdir / f"evaluate-{split}" / "results.json") or {}).get("step")


def is_scored(
    workdir: pathlib.Path, step: int, estimator: str | None = None, split: str = "test"
) -> bool:
    """Whether a step was evaluated, picture by picture, and by an estimator where one is given.

    A run that was scored with more than is asked for now is not scored again: that would be lost.

    Args:
      workdir: the workdir of the run.
      step: the step.
      estimator: the workdir of the pose estimator that must have scored it; None for any or none.
      split: the split that must have been scored.
    """
    folder = workdir / f"evaluate-{split}"
    results = _json(folder / "results.json") or {}
    if results.get("step") != step or not (folder / "images.csv").exists():
        return False
    return estimator is None or results.get("estimator") == estimator


@contextlib.contextmanager
def hold(workdir: pathlib.Path) -> Iterator[int | None]:
    """Holds a workdir, and forgets its last failure, while the `with` block runs.

    Yields:
      A file descriptor, or None where another process holds the workdir. A process that inherits
      the descriptor holds the workdir for as long as it lives, however the one that started it
      ends.

    Raises:
      UserError: the workdir cannot be written.
    """
    with os_errors_explained("use", f"{workdir} as workdir"):
        workdir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(workdir / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _locked(descriptor):
            yield None
            return
        # Only with the lock held: another sweep may be noting a failure.
        (workdir / _FAILURE).unlink(missing_ok=True)
        yield descriptor
    finally:
        # Closing lets go of the lock, unless a child has inherited it.
        os.close(descriptor)


def record_failure(workdir: pathlib.Path, doing: str, status: int, reason: str) -> None:
    """Notes in a workdir that an attempt failed.

    Args:
      workdir: the workdir of the run.
      doing: what was attempted, "train" or "evaluate".
      status: the exit status.
      reason: why it failed, in words.
    """
    record = {"doing": doing, "status": status, "reason": reason}
    files.write_text(workdir / _FAILURE, json.dumps(record))


def _locked(descriptor: int, tries: int = 3) -> bool:
    """Whether the lock could be taken."""
    # Several tries: whoever only looks at the lock, as `_held` does, has it for a moment.
    for _ in range(tries):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.05)
    return False


def _held(workdir: pathlib.Path) -> bool:
    """Whether another process holds a workdir."""
    try:
        descriptor = os.open(workdir / _LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        # A shared lock, so that two processes that only look do not disturb each other.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _logged_step(workdir: pathlib.Path) -> int:
    """The last step in metrics.jsonl."""
    try:
        lines = (workdir / "metrics.jsonl").read_text().splitlines()
    except OSError:
        return 0
    # The last line may be in part only, of a process that was killed while it wrote.
    for line in reversed(lines):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return int(json.loads(line)["step"])
    return 0


def _json(path: pathlib.Path) -> dict[str, Any] | None:
    """The object in a JSON file; None where there is none that can be read."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
