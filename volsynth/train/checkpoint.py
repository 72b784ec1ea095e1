"""Checkpoints of a run, through Orbax: asynchronous, atomic, verified, the latest N and the best.

A step is saved under another name, gets its manifest, and only then its own name: whatever is
called `checkpoints/STEP` was complete once, and a kill at any moment leaves such steps alone.
Earlier steps are deleted after that, so that there is never less than one.
"""

import concurrent.futures
import errno
import logging
import math
import pathlib
import shutil
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from orbax import checkpoint as ocp

from volsynth.errors import UserError
from volsynth.train import manifest, run_record
from volsynth.train.manifest import DamagedError
from volsynth.train.state import TrainState

_AVERAGES, _REST = "averages", "state"
"""The two items of a step: what evaluation reads, and what only training needs."""

_SAVING, _DELETED = ".saving", ".deleted"
_NONE, _REFUSED = -1, -2


# Orbax logs pages of traceback of an error that it raises as well.
logging.getLogger("absl").addFilter(
    lambda record: not (record.exc_info and "orbax" in record.pathname)
)


class Checkpoints:
    """The checkpoints under `workdir/checkpoints`; leaving the context waits for saves."""

    def __init__(
        self,
        folder: pathlib.Path,
        keep: int = 1,
        best_by: str = "",
        run: Mapping[str, Any] | None = None,
        say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    ):
        """Opens them; nothing is changed before `usable` or `save`.

        Args:
          folder: the workdir.
          keep: how many of the newest are kept.
          best_by: name of the metric by which the best is kept besides; empty for none.
          run: the record of the workdir's `run.json`; None to read it, where there is one.
          say: is given a line when a damaged checkpoint was passed over.
        """
        if run is None and (folder / "run.json").exists():
            run = run_record.read_run(folder)
        self._run = run
        self._folder = (folder / "checkpoints").absolute()
        self._keep, self._best_by, self._say = keep, best_by, say
        self._items = {name: ocp.StandardCheckpointHandler() for name in (_AVERAGES, _REST)}
        # By default processes would meet in a computation on the devices: without a time limit,
        # and in no order with the steps of training.
        everyone = set(range(jax.process_count())) if jax.process_count() > 1 else None
        self._meeting = ocp.options.MultiprocessingOptions(active_processes=everyone)
        self._orbax = ocp.AsyncCheckpointer(
            ocp.CompositeCheckpointHandler(**self._items), multiprocessing_options=self._meeting
        )
        self._pool = concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
        self._pending: tuple[int, concurrent.futures.Future] | None = None
        self._verified: int | None = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        try:
            self.wait()
        except UserError as failure:
            # What ended the run says more than that its last save failed as well.
            if kind is None:
                raise
            self._say(str(failure))
        finally:
            self._pool.shutdown()
            self._orbax.close()

    @property
    def steps(self) -> list[int]:
        """All steps of which there is a checkpoint, good or not, in order."""
        if not self._folder.is_dir():
            return []
        return sorted(int(p.name) for p in self._folder.iterdir() if p.name.isdecimal())

    @property
    def best(self) -> int | None:
        """The step with the lowest metric; of equal ones the newest. None if no step has one."""
        return _best(self._metrics())

    def save(self, step: int, state: TrainState, metric: float | None = None) -> None:
        """Starts saving; returns at once. Saving a step that is there already does nothing.

        Args:
          step: which.
          state: of training.
          metric: value of `best_by`; None or not finite where there is none.

        Raises:
          UserError: this save or the one before failed, for instance for want of space.
        """
        self.wait()
        if step in self.steps:
            return
        metric = None if metric is None or not math.isfinite(metric) else float(metric)
        about = {"step": step, "run": self._run, "metric": {self._best_by: metric}}
        args = ocp.args.Composite(
            **{
                _AVERAGES: ocp.args.StandardSave(state.averages),
                _REST: ocp.args.StandardSave(state.replace(averages={})),
            }
        )
        try:
            self._orbax.save(self._folder / f"{step}{_SAVING}", args=args, force=True)
        except Exception as error:
            raise self._failed(step, error) from error
        self._pending = step, self._pool.submit(self._finish, step, about)

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
        """Until what was started is on disk and verified.

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
            self._meet(f"volsynth_checkpoint_{step}")

    def usable(self) -> int | None:
        """The newest good step, the same on every process; None if there are no checkpoints.

        Only whoever trains may ask: remains of unfinished saves are removed, and damaged steps
        newer than a good one are moved to `checkpoints/damaged`, for training to save them anew.

        Raises:
          UserError: there are checkpoints, but none is good, or the good one is of another run.
        """
        step, refusal = _NONE, None
        if jax.process_index() == 0:
            try:
                step = self._choose()
            except UserError as error:
                step, refusal = _REFUSED, error
        if jax.process_count() > 1:
            step = int(multihost_utils.broadcast_one_to_all(np.int32(step)))
        if step == _REFUSED:
            raise refusal or UserError("process 0 found no checkpoint to use; see its message.")
        self._verified = None if step == _NONE else step
        return self._verified

    def restore(self, step: int, abstract: TrainState) -> TrainState:
        """The state of a step, verified first unless `usable` has just done it.

        Args:
          step: which.
          abstract: shapes, dtypes and shardings to restore into.

        Raises:
          UserError: the checkpoint is damaged, of another run, or does not hold such a state.
        """
        try:
            if self._verified != step:
                self._verify(step)
            self._verified = None
            items = {_AVERAGES: abstract.averages, _REST: abstract.replace(averages={})}
            restored = self._read(step, items)
        except DamagedError as error:
            raise self._unusable(step, f"{error}.") from error
        return restored[_REST].replace(averages=restored[_AVERAGES])

    def averages(self, step: int | None, abstract: Any) -> tuple[int, Any]:
        """The running averages of a step, read without the rest of its state.

        Args:
          step: which; None for the newest good one.
          abstract: `averages` of an abstract state.

        Returns:
          the step and its averages.

        Raises:
          UserError: the checkpoint is damaged, of another run, or does not hold them.
        """
        bad = {}
        for candidate in reversed(self.steps) if step is None else (step,):
            try:
                self._verify(candidate, (_AVERAGES,))
            except DamagedError as error:
                if step is not None:
                    raise self._unusable(step, f"{error}.") from error
                bad[candidate] = str(error)
                continue
            for damaged, reason in bad.items():
                self._say(f"checkpoint {damaged} is damaged ({reason}); {candidate} instead.")
            return candidate, self._read(candidate, {_AVERAGES: abstract})[_AVERAGES]
        raise self._none_good(bad)

    def _meet(self, name):
        """Waits until every process is here, but not for ever."""
        if jax.process_count() > 1:
            ocp.multihost.sync_global_processes(
                name,
                timeout=ocp.multihost.coordination_timeout(),
                processes=self._meeting.active_processes,
            )

    def _choose(self):
        bad = {}
        for step in reversed(self.steps):
            try:
                self._verify(step)
                break
            except DamagedError as error:
                bad[step] = str(error)
        else:
            if bad:
                # They stay where they are: without them the next start would begin from zero.
                raise self._none_good(bad)
            step = _NONE
        for damaged, reason in bad.items():
            aside = self._set_aside(damaged)
            self._say(
                f"checkpoint {damaged} is damaged ({reason}); moved to {aside}. "
                f"Going on from checkpoint {step} instead."
            )
        self._remove_remains()
        return step

    def _set_aside(self, step):
        folder = self._folder / "damaged"
        folder.mkdir(exist_ok=True)
        names = (str(step), *(f"{step}-{number}" for number in range(2, 1000)))
        target = next(folder / name for name in names if not (folder / name).exists())
        return (self._folder / str(step)).rename(target)

    def _remove_remains(self):
        for path in self._folder.glob("*"):
            if path.name.split(".")[0].isdecimal() and not path.name.isdecimal():
                shutil.rmtree(path, ignore_errors=True)

    def _verify(self, step, parts=None):
        """Raises DamagedError, or UserError for a checkpoint of another run."""
        about = manifest.verify(self._folder / str(step), parts)
        if about["step"] != step:
            raise DamagedError(f"it was saved as {about['step']}")
        if self._run is None or about["run"] is None:
            return
        if differing := run_record.differences(about["run"], self._run):
            raise self._unusable(step, f"it is of another run ({'; '.join(differing)}).")

    def _read(self, step, items):
        # Item by item: a composite would look into those not asked for, which were not verified.
        restored = {}
        try:
            for name, item in items.items():
                handler, path = self._items[name], self._folder / str(step) / name
                stored = handler.metadata(path).tree
                _check_holds(stored, item, "averages." if name == _AVERAGES else "")
                restored[name] = handler.restore(path, args=ocp.args.StandardRestore(item))
            return restored
        except (ValueError, KeyError, OSError) as error:
            raise self._unusable(step, " ".join(str(error).split())[:300]) from error

    def _finish(self, step, about):
        """In the background: waits for Orbax, makes the step valid, deletes what is too old."""
        self._orbax.wait_until_finished()
        if jax.process_index() != 0:
            return
        saved = self._folder / f"{step}{_SAVING}"
        manifest.write(saved, about)
        saved.rename(self._folder / str(step))
        metrics = self._metrics()
        kept = {*sorted(metrics)[-self._keep :], _best(metrics)}
        for old in self.steps:
            # A step newer than this one is not ours to delete.
            if old not in kept and old < step:
                # First the name: half a checkpoint must not look like one.
                deleted = (self._folder / str(old)).rename(self._folder / f"{old}{_DELETED}")
                shutil.rmtree(deleted)

    def _metrics(self):
        """Step to value of `best_by`, or None, for every step whose manifest can be read."""
        found = {}
        for step in self.steps:
            try:
                found[step] = manifest.read(self._folder / str(step))["metric"].get(self._best_by)
            except DamagedError:
                continue
        return found

    def _failed(self, step, error):
        if isinstance(error, UserError):
            return error
        if jax.process_index() == 0:
            # The room it takes is wanted.
            for path in self._folder.glob(f"{step}{_SAVING}*"):
                shutil.rmtree(path, ignore_errors=True)
        reason = " ".join(str(error).split())[:300]
        if "RESOURCE_EXHAUSTED" in reason or getattr(error, "errno", None) == errno.ENOSPC:
            reason = "no space left on the disk"
        return UserError(
            f"checkpoint {step} could not be saved in {self._folder}: {reason}. Those before it "
            "are intact; see to the disk, then run the same command to go on from the newest."
        )

    def _unusable(self, step, reason):
        return UserError(f"checkpoint {step} in {self._folder} cannot be restored: {reason}")

    def _none_good(self, bad):
        reasons = "; ".join(f"{step}: {reason}" for step, reason in bad.items())
        return UserError(
            f"no checkpoint in {self._folder} is good ({reasons}). Put a copy of one there, or "
            "train anew in another --workdir."
        )


def _best(metrics):
    with_value = {step: value for step, value in metrics.items() if value is not None}
    return min(with_value, key=lambda step: (with_value[step], -step), default=None)


def _check_holds(tree, abstract, prefix):
    """Raises ValueError with the first array that a checkpoint has not, or has otherwise.

    Orbax checks it too, but says so in many lines and leaves reads unfinished.
    """
    stored = {prefix + leaf.name: leaf.shape for leaf in jax.tree.leaves(tree)}
    wanted = {
        prefix + jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(abstract)
    }
    for name in sorted(stored.keys() ^ wanted.keys()):
        raise ValueError(f"{name} is only {'in it' if name in stored else 'in the config'}.")
    for name, leaf in wanted.items():
        is_key = jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        if not is_key and stored[name] != leaf.shape:
            raise ValueError(f"{name} has shape {stored[name]} in it, {leaf.shape} in the config.")


def abstract(shapes: Any, sharding: jax.sharding.Sharding) -> Any:
    """The result of `jax.eval_shape`, a state or a part of one, with a sharding on every leaf."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), shapes
    )
