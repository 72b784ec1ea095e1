"""Profiles of a few steps of a running training, on request and without a restart.

    echo 5 > WORKDIR/profile_steps

The loop removes the file and traces that many steps into `WORKDIR/profile/step_NUMBER`.
"""

import contextlib
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax

REQUEST = "profile_steps"
"""Name of the file in a workdir that holds the number of steps to trace."""

MOST_STEPS = 100
"""Largest number of steps of one trace: it grows with them, and viewers fail on large ones."""

# Seconds between two looks for a request: a look costs more than nothing on a file server.
_LOOK_EVERY = 1.0


class Profiler:
    """Watches for requests and traces steps; every step of the loop runs in `step`."""

    def __init__(
        self, workdir: pathlib.Path, say: Callable[[str], Any], watches: bool = True
    ) -> None:
        """Begins to watch.

        Args:
          workdir: the folder of the run.
          say: is given a line when a trace was written, or could not be.
          watches: whether requests are looked for. Of several processes only one must do it, as it
            removes the request.
        """
        self._watches = watches
        self._request = workdir / REQUEST
        self._folder = workdir / "profile"
        self._say = say
        self._looked = -_LOOK_EVERY
        self._trace = None  # The folder, first and last step of the running trace.
        self._steps = 0

    def __enter__(self) -> "Profiler":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def step(self, number: int, state: Any) -> contextlib.AbstractContextManager:
        """The context in which a step runs; begins and ends traces.

        Args:
          number: the number of the step that is about to run.
          state: the result of the step before. It is waited for where a trace begins or ends, so
            that the trace has the device's work of exactly these steps.
        """
        if self._trace and number > self._trace[2]:
            jax.block_until_ready(state)
            self._stop()
        # The first step compiles, which would hide all else.
        elif not self._trace and self._steps and (count := self._requested()):
            jax.block_until_ready(state)
            self._start(number, number + count - 1)
        self._steps += 1
        if self._trace:
            return jax.profiler.StepTraceAnnotation("train", step_num=number)
        return contextlib.nullcontext()

    def _requested(self):
        """The number of steps asked for, 0 if none; a request is taken away once it is read."""
        if not self._watches or time.monotonic() - self._looked < _LOOK_EVERY:
            return 0
        self._looked = time.monotonic()
        try:
            text = self._request.read_text(errors="replace").strip()
            # The shell creates the file before it writes: an empty one is looked at again.
            if not text:
                return 0
            self._request.unlink()
        except FileNotFoundError:
            return 0
        except OSError as error:
            self._say(f"{self._request} cannot be read and removed: {error.strerror}.")
            return 0
        # Python refuses to convert thousands of digits: the first ones are enough to be too many.
        if text.isdecimal() and 1 <= int(text[:9]) <= MOST_STEPS:
            return int(text)
        self._say(f"{REQUEST} must hold a number from 1 to {MOST_STEPS}, got {text[:40]!r}.")
        return 0

    def _start(self, first, last):
        folder = self._folder / f"step_{first:07d}"
        try:
            jax.profiler.start_trace(folder)
        except (RuntimeError, OSError) as error:
            # A run of days must not end because a profile failed.
            self._say(f"no profile: {' '.join(str(error).split())[:300]}")
            return
        self._trace = (folder, first, last)

    def _stop(self):
        if not self._trace:
            return
        folder, first, last = self._trace
        self._trace = None
        try:
            jax.profiler.stop_trace()
        except (RuntimeError, OSError) as error:
            self._say(f"no profile: {' '.join(str(error).split())[:300]}")
            return
        self._say(
            f"profile of steps {first} to {last}: {folder}; open it with `xprof --logdir {folder}` "
            "(pip install xprof), or its trace.json.gz in Perfetto. See docs/monitoring.md."
        )
