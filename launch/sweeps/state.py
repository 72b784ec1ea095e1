"""The state of a run, read from its workdir and nowhere else."""

import contextlib
import fcntl
import json
import os
import pathlib
import time
from collections.abc import Iterator
from typing import Any

from launch.sweeps import spec
from volsynth import files
from volsynth.errors import UserError

LOG = "train.log"
_LOCK, _FAILURE = "sweep.lock", "failure.json"


def read(workdir: pathlib.Path, steps: int) -> dict[str, Any]:
    """{"state", "step", "steps", "reason"} of a run.

    The state is "finished" if the newest checkpoint is the last step; "running" if a process holds
    the workdir; "failed" if the last attempt did; "stopped" if there is something to go on from;
    otherwise "waiting".

    Args:
      workdir: of the run, there or not.
      steps: how many it will have, if it has not begun.
    """
    run = _json(workdir / "run.json")
    with contextlib.suppress(KeyError, TypeError):
        steps = spec.last_step(run["config"])
    saved = newest_checkpoint(workdir)
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
    """The step of the newest checkpoint that is whole; a part of one has a longer name."""
    folder = workdir / "checkpoints"
    found = [int(p.name) for p in folder.iterdir() if p.name.isdigit()] if folder.is_dir() else []
    return max(found, default=None)


def scored_step(workdir: pathlib.Path, split: str = "test") -> int | None:
    """The step that was evaluated last."""
    return (_json(workdir / f"evaluate-{split}" / "results.json") or {}).get("step")


def is_scored(
    workdir: pathlib.Path, step: int, estimator: str | None = None, split: str = "test"
) -> bool:
    """Whether a step was evaluated, picture by picture, and by this estimator where one is given.

    What was scored with more than is asked for now is not scored again: it would be lost.
    """
    folder = workdir / f"evaluate-{split}"
    results = _json(folder / "results.json") or {}
    if results.get("step") != step or not (folder / "images.csv").exists():
        return False
    return estimator is None or results.get("estimator") == estimator


@contextlib.contextmanager
def hold(workdir: pathlib.Path) -> Iterator[int | None]:
    """Holds a workdir, and forgets its last failure; None where another process has it.

    Yields a file descriptor. A process that inherits it holds the workdir for as long as it lives,
    however the one that started it ends.

    Raises:
      UserError: the workdir cannot be written.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(workdir / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(f"cannot use {workdir} as workdir: {error.strerror}.") from error
    try:
        if not _locked(descriptor):
            yield None
            return
        (workdir / _FAILURE).unlink(missing_ok=True)
        yield descriptor
    finally:
        os.close(descriptor)


def record_failure(workdir: pathlib.Path, doing: str, status: int, reason: str) -> None:
    """Notes that an attempt at "train" or "evaluate" failed."""
    record = {"doing": doing, "status": status, "reason": reason}
    files.write_text(workdir / _FAILURE, json.dumps(record))


def _locked(descriptor, tries=3):
    """Whether the lock is ours now; who only looks at it has it for a moment."""
    for _ in range(tries):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.05)
    return False


def _held(workdir):
    try:
        descriptor = os.open(workdir / _LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        # Shared, so that two who only look do not see each other.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _logged_step(workdir):
    """The last step of metrics.jsonl whose line is whole."""
    try:
        lines = (workdir / "metrics.jsonl").read_text().splitlines()
    except OSError:
        return 0
    for line in reversed(lines):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return int(json.loads(line)["step"])
    return 0


def _json(path):
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
