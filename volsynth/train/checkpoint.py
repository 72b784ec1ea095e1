"""Checkpoints of a run, through Orbax: asynchronous, atomic, the latest N kept."""

import json
import pathlib
from typing import Any

import jax
from orbax import checkpoint as ocp

from volsynth import files
from volsynth.errors import UserError
from volsynth.train.state import TrainState

# What may differ between a run and its continuation: where things lie and how often one looks.
_FREE = (
    "data.dir",
    "data.threads",
    "data.verify",
    "train.log_every",
    "train.sample_every",
    "train.checkpoint_every",
    "train.keep_checkpoints",
)
_FREE_SECTIONS = ("evaluate.", "mesh.")


class Checkpoints:
    """The checkpoints under `workdir/checkpoints`; leaving the context waits for saves."""

    def __init__(self, workdir: pathlib.Path, keep: int = 1):
        policies = ocp.checkpoint_managers
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policies.LatestN(keep), cleanup_tmp_directories=True
        )
        self._manager = ocp.CheckpointManager(
            (workdir / "checkpoints").absolute(),
            options=options,
            item_handlers={"state": ocp.StandardCheckpointHandler()},
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._manager.close()

    @property
    def latest(self) -> int | None:
        """The step of the newest checkpoint."""
        return self._manager.latest_step()

    @property
    def steps(self) -> list[int]:
        """All steps of which there is a checkpoint."""
        return list(self._manager.all_steps())

    def save(self, step: int, state: TrainState) -> None:
        """Starts saving; returns at once. Saving a step that is there already does nothing."""
        if step != self.latest:
            self._manager.save(
                step, args=ocp.args.Composite(state=ocp.args.StandardSave(state)), force=True
            )

    def wait(self) -> None:
        """Until everything started is on disk."""
        self._manager.wait_until_finished()

    def restore(self, step: int, abstract: TrainState) -> TrainState:
        """The state of a step.

        Args:
          step: which.
          abstract: shapes, dtypes and shardings to restore into.

        Raises:
          UserError: the checkpoint does not hold such a state.
        """
        try:
            self._check_holds(step, abstract)
            restored = self._manager.restore(
                step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
            )
        except (ValueError, KeyError, OSError) as error:
            reason = " ".join(str(error).split())[:300]
            raise UserError(
                f"checkpoint {step} in {self._manager.directory} cannot be restored: {reason}"
            ) from error
        return restored["state"]

    def _check_holds(self, step, abstract):
        """Raises ValueError with the first array that the checkpoint has not, or has otherwise.

        Orbax checks it too, but says so in many lines and leaves reads unfinished.
        """
        metadata = self._manager.item_metadata(step)
        if metadata is None or metadata["state"] is None:
            return  # There is no such step, or it is damaged: restoring says what it is.
        stored = {leaf.name: leaf.shape for leaf in jax.tree.leaves(metadata["state"].tree)}
        wanted = {
            jax.tree_util.keystr(path, simple=True, separator="."): leaf
            for path, leaf in jax.tree_util.tree_leaves_with_path(abstract)
        }
        for name in sorted(stored.keys() ^ wanted.keys()):
            raise ValueError(f"{name} is only {'in it' if name in stored else 'in the config'}.")
        for name, leaf in wanted.items():
            is_key = jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
            if not is_key and stored[name] != leaf.shape:
                raise ValueError(
                    f"{name} has shape {stored[name]} in it, {leaf.shape} in the config."
                )


def abstract(state_shapes: TrainState, sharding: jax.sharding.Sharding) -> TrainState:
    """The result of `jax.eval_shape`, with a sharding on every leaf."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), state_shapes
    )


def claim_workdir(workdir: pathlib.Path, config: dict[str, Any], data: str) -> None:
    """Writes `run.json` into a new workdir; in an old one checks that it is of the same run.

    Args:
      workdir: of the run.
      config: the whole config, as nested dicts of JSON values.
      data: identity of the data set.

    Raises:
      UserError: the workdir belongs to another config or other data, its `run.json` is damaged,
        or it cannot be written.
    """
    record = {"config": config, "data": data}
    path = workdir / "run.json"
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        if path.exists():
            _check_same(path, read_run(workdir), record)
            return
        files.write_text(path, json.dumps(record, indent=2))
    except OSError as error:
        raise UserError(f"cannot use {workdir} as workdir: {error.strerror}.") from error


def read_run(workdir: pathlib.Path) -> dict[str, Any]:
    """What `claim_workdir` wrote: {"config": ..., "data": ...}.

    Raises:
      UserError: the folder holds no run, or its `run.json` is damaged.
    """
    path = workdir / "run.json"
    try:
        record = json.loads(path.read_text())
        dict(record["config"]), record["data"]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(
            f"{workdir} holds no run (no run.json). Train one: volsynth train."
        ) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}). Choose another workdir.") from error
    return record


def _check_same(path, old, new):
    before, after = flatten(old["config"]), flatten(new["config"])
    differing = [
        f"{key}: {before.get(key, 'absent')!r} there, {after.get(key, 'absent')!r} here"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
        and key not in _FREE
        and not key.startswith(_FREE_SECTIONS)
    ]
    if old["data"] != new["data"]:
        differing.append(f"data set: {old['data']} there, {new['data']} here")
    if differing:
        raise UserError(
            f"{path.parent} holds a run of another config ({'; '.join(differing)}). "
            "Choose another --workdir, or give the same config."
        )


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """A nested config as one level, keys joined by dots."""
    if not isinstance(config, dict):
        return {prefix[:-1]: config}
    return {
        name: leaf
        for key, value in config.items()
        for name, leaf in flatten(value, f"{prefix}{key}.").items()
    }
