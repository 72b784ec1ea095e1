"""A profile of a few steps of a running training, on request and without a restart.

    echo 5 > WORKDIR/profile_steps

The loop takes the file away and traces that many steps into `WORKDIR/profile/step_NUMBER`.
"""

import contextlib
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax

REQUEST = "profile_steps"
"""The file in a workdir that holds the number of steps to trace."""

MOST_STEPS = 100
"""A trace grows with its steps, and viewers give up on large ones."""

# Seconds between two looks for a request: a look costs more than nothing on a file server.
_LOOK_EVERY = 1.0


class Profiler:
    """Watches for requests; wrap every step in `step`.

    Of several processes only one must watch: it takes the request away.
    """

    def __init__(self, workdir: pathlib.Path, say: Callable[[str], Any], watches: bool = True):
        self._watches = watches
        self._request = workdir / REQUEST
        self._folder = workdir / "profile"
        self._say = say
        self._looked = -_LOOK_EVERY
        self._trace = None  # The folder, first and last step of the running trace.
        self._steps = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stop()

    def step(self, number: int, state: Any) -> contextlib.AbstractContextManager:
        """A context for a step; begins and ends traces.

        Args:
          number: of the step about to run.
          state: what the step before returned. It is waited for where a trace begins or ends, so
            that the device's work of exactly these steps is in it.
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
            if not text:  # None, or one that is being written.
                return 0
            self._request.unlink()
        except FileNotFoundError:
            return 0
        except OSError as error:
            self._say(f"{self._request} cannot be read and removed: {error.strerror}.")
            return 0
        if text.isdecimal() and 1 <= int(text[:9]) <= MOST_STEPS:
            return int(text)
        self._say(f"{REQUEST} must hold a number from 1 to {MOST_STEPS}, got {text[:40]!r}.")
        return 0

    def _start(self, first, last):
        folder = self._folder / f"step_{first:07d}"
        try:
            jax.profiler.start_trace(folder)
        except (RuntimeError, OSError) as error:
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
