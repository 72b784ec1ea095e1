"""Reports of a training run: a progress line, JSON lines, TensorBoard, sample pictures."""

import json
import math
import os
import pathlib
import sys
import time

import jax
import numpy as np
from PIL import Image

from volsynth.images import draw
from volsynth.train import memory, run_log

# The share of the time that a run may wait for data before the progress line says so. A little is
# always waited, and no reason to look for a faster disk.
_WAITING = 0.02


class Reporter:
    """Writes the metrics of a run to `metrics.jsonl`, TensorBoard and the terminal.

    Attributes:
      workdir: the folder of the run.
    """

    def __init__(self, workdir: pathlib.Path, start: int, stop: int, batch_size: int) -> None:
        """Opens the files; metrics of steps after `start` are removed, as they come again.

        Args:
          workdir: the folder of the run.
          start: how many steps are done.
          stop: how many steps the whole run has.
          batch_size: examples in a batch over all devices, for the rate of images.
        """
        # It takes a while to import, and of several processes only the first needs it.
        from tensorboardX import SummaryWriter

        self.workdir = workdir
        self._stop, self._batch_size = stop, batch_size
        path = workdir / run_log.METRICS
        run_log.drop_after(path, start)
        self._lines = path.open("a")
        # A run may go on with another JAX or on other devices, whose last digits differ.
        devices = jax.devices()
        facts = {"jax": jax.__version__, "device": devices[0].device_kind, "devices": len(devices)}
        run_log.record_start(workdir, start, facts)
        self._board = SummaryWriter(str(workdir / "tensorboard"), purge_step=start)
        self._last = (start, time.monotonic())
        self._waited = 0.0

    def __enter__(self) -> "Reporter":
        return self

    def __exit__(self, *_: object) -> None:
        if sys.stderr.isatty():
            print(file=sys.stderr)  # Whatever comes next starts below the progress line.
        self._lines.close()
        self._board.close()

    def add_waiting(self, seconds: float) -> None:
        """Adds the time that a step waited for its batch to that since the last `log`."""
        self._waited += seconds

    def log(self, step: int, metrics: dict[str, float | None]) -> None:
        """Writes one step's metrics and the rates of the run, which are means since the last call.

        Args:
          step: how many steps are done.
          metrics: value by PLAYER/METRIC; None where it is not finite.
        """
        # The clock of the wall may be set back in the meantime, and rates would be negative.
        now = time.monotonic()
        # Two calls may come within one tick of the clock.
        steps, seconds = step - self._last[0], max(now - self._last[1], 1e-9)
        rates = {
            "images_per_second": steps * self._batch_size / seconds,
            "seconds_per_step": seconds / max(steps, 1),
            "share_waiting_for_data": self._waited / seconds,
        }
        self._last, self._waited = (step, now), 0.0
        values = {**metrics, **rates, **memory.usage()}
        self._lines.write(json.dumps({"step": step, "time": time.time(), **values}) + "\n")
        # A killed run loses nothing that was logged, and whoever watches the file sees it at once.
        self._lines.flush()
        for key, value in values.items():
            # TensorBoard shows a gap at NaN; JSON has no word for it.
            self._board.add_scalar(key, math.nan if value is None else value, step)
        self.say(*self._shown(step, metrics, rates), transient=True)

    def _shown(self, step, metrics, rates):
        """The parts of the progress line, the most important first: the last ones may not fit."""
        eta = (self._stop - step) * rates["seconds_per_step"]
        yield f"step {step}/{self._stop}"
        yield f"ETA {_clock(eta)}"
        yield f"{rates['images_per_second']:.1f} images/s"
        if (waiting := rates["share_waiting_for_data"]) > _WAITING:
            yield f"waiting for data {waiting:.0%}"
        if skipped := sum(v or 0 for k, v in metrics.items() if _last_part(k) == "skipped"):
            yield f"{skipped:.0f} skipped"
        # The bookkeeping is for the file: the line has no room for it.
        losses = [key for key in metrics if _last_part(key) not in run_log.BOOKKEEPING]
        # The sum of each player's terms before the terms: what falls is seen first.
        for key in sorted(losses, key=lambda key: _last_part(key) != "loss"):
            yield f"{key} {_short(metrics[key])}"

    def samples(self, step: int, grid: Image.Image) -> None:
        """Saves a table of sample pictures, as a file and for TensorBoard."""
        path = self.workdir / "samples" / f"step_{step:07d}.png"
        path.parent.mkdir(exist_ok=True)
        draw.save_png(path, grid)
        self._board.add_image("samples", np.asarray(grid.convert("RGB")), step, dataformats="HWC")

    @staticmethod
    def say(*parts: str, transient: bool = False) -> None:
        """Prints a line to standard error; on a terminal, the next one overwrites a transient one.

        Parts of a transient line that do not fit into the terminal are left out, last ones first.

        Args:
          parts: the parts of the line, two spaces between them.
          transient: whether the line is only of interest until the next one.
        """
        line = "  ".join(parts)
        # In a file every line stays: a log of a batch job shows the progress, too.
        if transient and sys.stderr.isatty():
            # Some terminals claim to have no columns.
            width = (os.get_terminal_size(sys.stderr.fileno()).columns or 80) - 1
            while len(parts) > 1 and len(line) > width:
                parts = parts[:-1]
                line = "  ".join(parts)
            # Back to the first column, and all behind it erased.
            print(f"\r\x1b[K{line[:width]}", end="", file=sys.stderr, flush=True)
        else:
            start = "\r\x1b[K" if sys.stderr.isatty() else ""
            print(start + line, file=sys.stderr, flush=True)


class SilentReporter:
    """A reporter that writes nothing, for all processes but the first.

    Attributes:
      workdir: the folder of the run.
    """

    def __init__(self, workdir: pathlib.Path) -> None:
        self.workdir = workdir

    def __enter__(self) -> "SilentReporter":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def add_waiting(self, seconds: float) -> None:
        """Does nothing, where `Reporter.add_waiting` counts."""

    def log(self, step: int, metrics: dict[str, float | None]) -> None:
        """Does nothing, where `Reporter.log` writes."""

    def say(self, *parts: str, transient: bool = False) -> None:
        """Does nothing, where `Reporter.say` prints."""


def _last_part(key: str) -> str:
    return key.rsplit("/", 1)[-1]


def _short(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4g}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
