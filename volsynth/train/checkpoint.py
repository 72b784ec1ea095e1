"""Checkpoints of a run: saved in the background, verified, the latest N and the best.

A step is saved under another name, gets its manifest, and only then its own name: whatever is
called `checkpoints/STEP` was complete once, and a kill at any moment leaves such steps alone.
Earlier steps are deleted after that, so that there is never less than one.
"""

import concurrent.futures
import errno
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from volsynth import progress
from volsynth.errors import UserError
from volsynth.train import run_record
from volsynth.train.checkpoint_arrays import AVERAGES, REST, ArrayStore
from volsynth.train.checkpoint_folder import CheckpointFolder
from volsynth.train.manifest import DamagedError
from volsynth.train.state import TrainState

# What process 0 tells the others instead of a step: an integer, since only arrays can be sent.
_NONE, _REFUSED = -1, -2


class Checkpoints:
    """The checkpoints under `workdir/checkpoints`; leaving the context waits for saves."""

    def __init__(
        self,
        folder: pathlib.Path,
        keep: int = 1,
        best_by: str = "",
        run: Mapping[str, Any] | None = None,
        say: Callable[[str], None] = progress.say,
    ) -> None:
        """Opens the checkpoints; nothing is changed before `step_to_resume` or `save`.

        Args:
          folder: the workdir.
          keep: how many of the newest are kept.
          best_by: name of the metric by which the best is kept besides; empty for none.
          run: the record of the workdir's `run.json`; None to read it, where there is one.
          say: is given a line when a damaged checkpoint was passed over.
        """
        if run is None and (folder / "run.json").exists():
            run = run_record.read_run(folder)
        self._folder = CheckpointFolder(folder, best_by, run)
        self._arrays = ArrayStore()
        self._keep, self._say = keep, say
        # One thread: steps are completed in the order in which they were saved.
        self._pool = concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
        self._pending: tuple[int, concurrent.futures.Future] | None = None
        self._verified: int | None = None

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.wait()
        except UserError as failure:
            # What ended the run says more than that its last save failed as well.
            if kind is None:
                raise
            self._say(str(failure))
        finally:
            self._pool.shutdown()
            self._arrays.close()

    @property
    def steps(self) -> list[int]:
        """All steps that have a checkpoint, good or not, in ascending order."""
        return self._folder.steps

    @property
    def best(self) -> int | None:
        """The step with the lowest metric; of equal ones the newest. None if no step has one."""
        return self._folder.best

    def save(self, step: int, state: TrainState, metric: float | None = None) -> None:
        """Starts saving; returns at once. Saving a step that is there already does nothing.

        Args:
          step: how many steps are done.
          state: the state after them.
          metric: value of `best_by`; None or not finite where there is none.

        Raises:
          UserError: this save or the one before failed, for instance for want of space.
        """
        self.wait()
        if step in self.steps:
            return
        # JSON has no word for what is not finite, and it could not be compared.
        metric = None if metric is None or not math.isfinite(metric) else float(metric)
        try:
            self._arrays.start_writing(self._folder.saving_path(step), state)
        except Exception as error:
            raise self._failed(step, error) from error
        self._pending = step, self._pool.submit(self._finish, step, metric)

    def check(self) -> None:
        """Raises the UserError of a save that has failed meanwhile; waits for nobody."""
        if self._pending is None or not self._pending[1].done():
            return
        # Other processes may find out some steps later: to wait for them here would be a deadlock.
        step, future = self._pending
        if (error := future.exception()) is not None:
            self._pending = None
            raise self._failed(step, error) from error

    def wait(self) -> None:
        """Waits until the save that was started is on disk and has its manifest.

        Raises:
          UserError: saving failed.
        """
        if self._pending is None:
            return
        (step, future), self._pending = self._pending, None
        try:
            future.result()
        except Exception as error:
            raise self._failed(step, error) from error
        finally:
            # After a failure too: the others wait here for this process.
            self._arrays.meet(f"volsynth_checkpoint_{step}")

    def step_to_resume(self) -> int | None:
        """The newest good step, the same on every process; None if there are no checkpoints.

        Only whoever trains may ask: remains of unfinished saves are removed, and damaged steps
        newer than a good one are moved to `checkpoints/damaged`, for training to save them anew.

        Raises:
          UserError: there are checkpoints, but none is good, or the good one is of another run.
        """
        step, refusal = _NONE, None
        # One process alone changes the folder, which all of them share.
        if jax.process_index() == 0:
            try:
                found = self._folder.choose(self._say)
                step = _NONE if found is None else found
            except UserError as error:
                # Not raised before the others know: they wait for the answer.
                step, refusal = _REFUSED, error
        if jax.process_count() > 1:
            step = int(multihost_utils.broadcast_one_to_all(np.int32(step)))
        if step == _REFUSED:
            raise refusal or UserError("process 0 found no checkpoint to use; see its message.")
        self._verified = None if step == _NONE else step
        return self._verified

    def restore(self, step: int, abstract: TrainState) -> TrainState:
        """The state of a step, verified first unless `step_to_resume` has just done it.

        Args:
          step: the step.
          abstract: shapes, dtypes and shardings to restore into.

        Raises:
          UserError: the checkpoint is damaged, of another run, or does not hold such a state.
        """
        try:
            if self._verified != step:
                self._folder.verify(step)
        except DamagedError as error:
            raise self._folder.unusable_error(step, f"{error}.") from error
        # Once: what is read again later may have changed by then.
        self._verified = None
        restored = self._read(
            step, {AVERAGES: abstract.averages, REST: abstract.replace(averages={})}
        )
        return restored[REST].replace(averages=restored[AVERAGES])

    def restore_averages(self, step: int | None, abstract: Any) -> tuple[int, Any]:
        """The running averages of a step, read without the rest of its state.

        The folder is left as it is: a run may be training in it.

        Args:
          step: the step; None for the newest good one.
          abstract: `averages` of an abstract state.

        Returns:
          the step and its averages.

        Raises:
          UserError: there is no checkpoint, or it is damaged, of another run, or does not hold
            them.
        """
        if step is None:
            step, damaged = self._folder.newest_good((AVERAGES,))
            for bad, reason in damaged.items():
                self._say(f"checkpoint {bad} is damaged ({reason}); {step} instead.")
            if step is None:
                raise self._folder.none_good_error(damaged)
        else:
            try:
                self._folder.verify(step, (AVERAGES,))
            except DamagedError as error:
                raise self._folder.unusable_error(step, f"{error}.") from error
        return step, self._read(step, {AVERAGES: abstract})[AVERAGES]

    def _read(self, step, items):
        try:
            return self._arrays.read(self._folder.step_path(step), items)
        except (ValueError, KeyError, OSError) as error:
            raise self._folder.unusable_error(step, " ".join(str(error).split())[:300]) from error

    def _finish(self, step, metric):
        """Waits for the arrays, completes the step, deletes what is too old; in the background."""
        self._arrays.finish_writing()
        if jax.process_index() == 0:
            self._folder.complete(step, metric)
            self._folder.delete_older(step, self._keep)

    def _failed(self, step, error):
        if isinstance(error, UserError):
            return error
        if jax.process_index() == 0:
            self._folder.delete_unfinished(step)
        reason = " ".join(str(error).split())[:300]
        # TensorStore has no errno: it names the status of its own library.
        if "RESOURCE_EXHAUSTED" in reason or getattr(error, "errno", None) == errno.ENOSPC:
            reason = "no space left on the disk"
        return UserError(
            f"checkpoint {step} could not be saved in {self._folder.path}: {reason}. Those before "
            "it are intact; see to the disk, then run the same command to go on from the newest."
        )
