"""The training loop that all systems share: steps, checkpoints, metrics, samples, signals."""

import contextlib
import errno
import itertools
import math
import pathlib
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.sharding import Mesh

from volsynth.errors import UserError, did_you_mean
from volsynth.system import Batch
from volsynth.train import (
    checkpoint,
    distributed,
    dump,
    mesh,
    phases,
    profiling,
    state,
)
from volsynth.train.program import PlacedProgram, Program
from volsynth.train.reporting import Reporter, SilentReporter


class Interrupted(Exception):
    """A run was stopped by a signal, and has saved a checkpoint."""


class Diverged(Exception):
    """A run was ended because too many updates in a row were not finite."""


def train(
    trained: Program,
    placed: PlacedProgram,
    devices: Mesh,
    config: Any,
    batches: Callable[[int, int], Iterator[Batch]],
    workdir: pathlib.Path,
    draw_samples: Callable[[Any], Any],
) -> state.TrainState:
    """Trains from the newest checkpoint in `workdir`, or from the start, to the last step.

    Args:
      trained: the program of the config, from `program.make`.
      placed: the same on the mesh, from `program.place`.
      devices: the mesh to train on, from `mesh.make`.
      config: the whole config; `train`, `mesh` and `seed` are read here.
      batches: (start, stop) -> the batches of these steps; with several processes, this one's
        `mesh.local_rows` of them.
      workdir: where checkpoints, metrics and samples go. Claim it first.
      draw_samples: averaged variables -> a PIL image.

    Returns:
      The state after the last step.

    Raises:
      Interrupted: on SIGINT or SIGTERM, after a checkpoint was saved.
      Diverged: `max_skipped` updates of a player in a row were not finite; see `dump`.
      UserError: config and devices do not fit, a checkpoint cannot be restored or saved, or the
        disk is full.
    """
    settings, system = config.train, trained.system
    last = phases.last_step(trained.spans)
    _check_best_by(system, settings.best_by)
    with contextlib.ExitStack() as stack:
        # Outermost: closing the files below may be what finds the disk full.
        stack.enter_context(_full_disk_explained(workdir))
        checkpoints = stack.enter_context(
            checkpoint.Checkpoints(
                workdir, settings.keep_checkpoints, settings.best_by, say=Reporter.say
            )
        )
        current = _restore_or_initialise(placed, checkpoints)
        start = int(current.step)
        reporter = stack.enter_context(
            Reporter(workdir, start, last, settings.batch_size)
            if distributed.is_first()
            else SilentReporter(workdir)
        )
        reporter.say(f"{system.name}: step {start} of {last}, {devices.size} device(s), {workdir}")
        for key, value in system.notes.items():
            reporter.say(f"{key}: {value}")
        interrupted = stack.enter_context(_caught_signals())
        profiler = stack.enter_context(
            profiling.Profiler(workdir, reporter.say, watches=distributed.is_first())
        )
        runner = _Runner(
            config,
            placed.steps,
            trained.spans,
            devices,
            checkpoints,
            reporter,
            profiler,
            draw_samples,
            _phase_of_metric(settings.best_by, trained, placed),
        )
        return runner.run(current, start, batches, interrupted)


def _restore_or_initialise(placed, checkpoints):
    step = checkpoints.step_to_resume()
    return placed.init() if step is None else checkpoints.restore(step, placed.state)


class _Runner:
    """The loop over steps, with all that stays the same from one step to the next."""

    def __init__(
        self,
        config,
        steps,
        spans,
        devices,
        checkpoints,
        reporter,
        profiler,
        draw_samples,
        best_phase,
    ) -> None:
        self._config, self._settings = config, config.train
        self._steps, self._spans = steps, spans
        self._devices = devices
        self._checkpoints, self._reporter = checkpoints, reporter
        self._profiler, self._draw_samples = profiler, draw_samples
        self._scores, self._best_phase = [], best_phase
        # Made once: a new jitted function for each sample would be compiled anew.
        self._everywhere = jax.jit(lambda tree: tree, out_shardings=mesh.replicated(devices))

    def run(self, current, start, batches, interrupted):
        """Takes all steps from `start` on; what the host does overlaps with the device's work."""
        settings, final = self._settings, phases.last_step(self._spans)
        stream = batches(start, final)
        following, host = self._next(stream)
        pending, agreed = None, distributed.Agreement(self._devices)
        for number in range(start + 1, final + 1):
            step_of_phase = self._steps[self._phase(number)]
            with self._profiler.step(number, current):
                current, metrics = step_of_phase(current, following)
            # While the device works on this step: the next batch, and the metrics of the last one.
            # A batch stays until its metrics were looked at: they may be why someone wants it.
            examined = host
            following, host = self._next(stream)
            if pending is not None:
                self._examine(number - 1, *pending)
            pending = metrics, examined
            # A failed save ends the run now, and not after the steps to the next one.
            self._checkpoints.check()
            last = number == final
            # All processes stop at the same step: else some would wait in it for the others.
            stop = agreed(interrupted(), current.step)
            if stop or last or number % settings.checkpoint_every == 0:
                # Logged before it is saved: a run that resumes here does not see this step again.
                self._examine(number, *pending, log=stop or last)
                pending = None
                self._checkpoints.save(number, current, self._score(number))
            if stop:
                self._checkpoints.wait()
                raise Interrupted(f"stopped at step {number}; run the same command to go on.")
            if last or number % settings.sample_every == 0:
                self._sample(number, current.averages)
        # The run is finished when its last state is on disk, and not before.
        self._checkpoints.wait()
        return current

    def _sample(self, number, averages):
        # On every process: those that share the state have to hand out their parts.
        averages = jax.device_get(self._everywhere(averages))
        if distributed.is_first():
            self._reporter.samples(number, self._draw_samples(averages))

    def _next(self, stream):
        """The next batch, on the devices and on the host; None for both after the last."""
        before = time.monotonic()
        batch = next(stream, None)
        self._reporter.add_waiting(time.monotonic() - before)
        if batch is None:
            return None, None
        return mesh.to_devices(self._devices, batch, self._settings.batch_size), batch

    def _phase(self, number):
        """The phase of the step with this number; numbers count from 1."""
        return phases.phase_of(self._spans, number - 1)

    def _score(self, number):
        """The mean of `best_by` since the last checkpoint, None where it was never finite."""
        scores, self._scores = self._scores, []
        # What is left of the phase before says nothing about this checkpoint.
        return sum(scores) / len(scores) if scores and self._is_ranked(number) else None

    def _is_ranked(self, number):
        return self._phase(number) == self._best_phase

    def _examine(self, number, metrics, batch, log=False):
        values = {key: float(value) for key, value in jax.device_get(metrics).items()}
        best_by = self._settings.best_by
        if self._is_ranked(number):
            self._scores += [values[best_by]] if math.isfinite(values[best_by]) else []
        skipped = max(v for k, v in values.items() if k.endswith("/skipped_in_a_row"))
        # Skipped updates are rare, and whoever looks for the reason wants every one of them.
        if number % self._settings.log_every == 0 or log or skipped:
            finite = {k: v if math.isfinite(v) else None for k, v in values.items()}
            self._reporter.log(number, finite)
        if skipped >= self._settings.max_skipped:
            worst = [k for k, v in values.items() if not math.isfinite(v)]
            folder = dump.write(self._reporter.workdir, number, batch, values, self._config)
            raise Diverged(
                f"step {number}: {int(skipped)} updates in a row were not finite "
                f"({', '.join(worst)}). The parameters are those before; batch, metrics and config "
                f"are in {folder}. Lower the learning rate, or resume from an older checkpoint."
            )


def _check_best_by(system, name):
    players = [player for phase in system.phases.values() for player in phase]
    player, _, term = name.partition("/")
    if name and (player not in players or not term):
        raise UserError(
            f"config.train.best_by must be PLAYER/METRIC such as {players[0]}/loss, or empty; "
            f"got {name!r}; {did_you_mean(player, players)}"
        )


def _phase_of_metric(name, trained, placed):
    """The last phase whose steps log the metric: losses of two phases cannot be compared.

    None where no metric is asked for.
    """
    if not name:
        return None
    found, known = None, set()
    for phase, span in trained.spans.items():
        if span:
            # Traced once: JAX remembers it for the first step.
            metrics = jax.eval_shape(placed.steps[phase], placed.state, placed.batch)[1]
            known |= metrics.keys()
            found = phase if name in metrics else found
    if found is None:
        raise UserError(f"config.train.best_by: no metric {name!r}; {did_you_mean(name, known)}")
    return found


@contextlib.contextmanager
def _full_disk_explained(workdir):
    """Turns a full disk into a UserError.

    Metrics and samples are written as well as checkpoints, and may be the first to fail.
    """
    try:
        yield
    except OSError as error:
        # Other errors of the system are defects, and their traceback is wanted.
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"{workdir}: {error.strerror}. Checkpoints are intact; make room, then run the same "
            "command to go on from the newest."
        ) from error


@contextlib.contextmanager
def _caught_signals():
    """Lets SIGINT and SIGTERM only set a flag; yields the function that reads it."""
    # A handler may be interrupted by another signal: the next of a count is taken in one piece.
    caught = itertools.count()
    seen = []

    def handler(number, _):
        # A second signal means it: give the old behaviour back.
        if next(caught):
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        seen.append(number)

    try:
        old = {s: signal.signal(s, handler) for s in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # Not in the main thread: whoever is there handles signals.
        old = {}
    try:
        yield lambda: bool(seen)
    finally:
        for number, previous in old.items():
            signal.signal(number, previous)
