"""What a run shows: a progress line, JSON lines, TensorBoard, sample pictures."""

import json
import math
import os
import pathlib
import sys
import time

import numpy as np

from volsynth import draw, files


class Reporter:
    """Writes metrics of a run to `metrics.jsonl`, TensorBoard and the terminal.

    Attributes:
      workdir: of the run.
    """

    def __init__(self, workdir: pathlib.Path, start: int, stop: int, batch_size: int):
        from tensorboardX import SummaryWriter

        self.workdir = workdir
        self._stop, self._batch_size = stop, batch_size
        self._path = workdir / "metrics.jsonl"
        _drop_after(self._path, start)
        self._lines = self._path.open("a")
        self._board = SummaryWriter(str(workdir / "tensorboard"), purge_step=start)
        self._last = (start, time.monotonic())
        self._waited = 0.0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if sys.stderr.isatty():
            print(file=sys.stderr)  # Whatever comes next starts below the progress line.
        self._lines.close()
        self._board.close()

    def waited(self, seconds: float) -> None:
        """Counts time that a step waited for its batch."""
        self._waited += seconds

    def log(self, step: int, metrics: dict[str, float | None]) -> None:
        """Logs a step's metrics, None where not finite; rates are means since the last call."""
        now = time.monotonic()
        steps, seconds = step - self._last[0], max(now - self._last[1], 1e-9)
        rates = {
            "images_per_second": steps * self._batch_size / seconds,
            "share_waiting_for_data": self._waited / seconds,
        }
        self._last, self._waited = (step, now), 0.0
        record = {"step": step, **metrics, **rates}
        self._lines.write(json.dumps(record) + "\n")
        self._lines.flush()
        for key, value in {**metrics, **rates}.items():
            self._board.add_scalar(key, math.nan if value is None else value, step)
        eta = (self._stop - step) * seconds / max(steps, 1)
        shown = [f"{k} {_short(v)}" for k, v in metrics.items() if _is_loss(k)]
        line = (
            f"step {step}/{self._stop}  ETA {_clock(eta)}  "
            f"{rates['images_per_second']:.1f} images/s  {'  '.join(shown)}"
        )
        self.say(line, transient=True)

    def samples(self, step: int, grid) -> None:
        """Saves a table of pictures, as a file and for TensorBoard."""
        path = self.workdir / "samples" / f"step_{step:07d}.png"
        path.parent.mkdir(exist_ok=True)
        draw.save_png(path, grid)
        self._board.add_image("samples", np.asarray(grid.convert("RGB")), step, dataformats="HWC")

    @staticmethod
    def say(line: str, transient: bool = False) -> None:
        """Prints a line to standard error; a transient one is overwritten on a terminal."""
        if transient and sys.stderr.isatty():
            # Some terminals claim to have no columns.
            width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            print(f"\r\x1b[K{line[: width - 1]}", end="", file=sys.stderr, flush=True)
        else:
            start = "\r\x1b[K" if sys.stderr.isatty() else ""
            print(start + line, file=sys.stderr, flush=True)


class Silent:
    """A reporter for processes that have nothing to say: all but the first."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def waited(self, seconds: float) -> None:
        """Like `Reporter.waited`."""

    def log(self, step: int, metrics: dict[str, float | None]) -> None:
        """Like `Reporter.log`."""

    def say(self, line: str, transient: bool = False) -> None:
        """Like `Reporter.say`."""


_QUIET = ("gradient_norm", "loss_scale", "skipped", "skipped_in_a_row")
"""Metrics for the file, not for the line that a user watches."""


def _is_loss(key: str) -> bool:
    return key.rsplit("/", 1)[-1] not in _QUIET


def _short(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4g}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _drop_after(path: pathlib.Path, step: int) -> None:
    """Removes lines beyond a step, which a resumed run writes again, and any cut off by a kill."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError):
            continue
    files.write_text(path, "".join(kept))
