"""The arrays of a training state on disk: written and read through Orbax."""

import logging
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
from orbax import checkpoint as ocp

from volsynth.train.state import TrainState

AVERAGES, REST = "averages", "state"
"""Names of the two items of a checkpoint: the running averages, which evaluation reads alone, and
all else, which only training needs."""

# Orbax logs pages of traceback of an error that it raises as well.
logging.getLogger("absl").addFilter(
    lambda record: not (record.exc_info and "orbax" in record.pathname)
)


class ArrayStore:
    """Writes training states in the background, and reads them item by item."""

    def __init__(self) -> None:
        self._handlers = {name: ocp.StandardCheckpointHandler() for name in (AVERAGES, REST)}
        # By default processes would meet in a computation on the devices: without a time limit,
        # and in no order with the steps of training.
        everyone = set(range(jax.process_count())) if jax.process_count() > 1 else None
        self._meeting = ocp.options.MultiprocessingOptions(active_processes=everyone)
        self._writer = ocp.AsyncCheckpointer(
            ocp.CompositeCheckpointHandler(**self._handlers), multiprocessing_options=self._meeting
        )

    def close(self) -> None:
        """Gives back the threads of the writer."""
        self._writer.close()

    def start_writing(self, path: pathlib.Path, state: TrainState) -> None:
        """Copies a state from the devices and begins to write it; returns before it is on disk."""
        args = ocp.args.Composite(
            **{
                AVERAGES: ocp.args.StandardSave(state.averages),
                # Without the averages: they would be on disk twice.
                REST: ocp.args.StandardSave(state.replace(averages={})),
            }
        )
        self._writer.save(path, args=args, force=True)

    def finish_writing(self) -> None:
        """Waits until everything that `start_writing` began is on disk."""
        self._writer.wait_until_finished()

    def meet(self, name: str) -> None:
        """Waits until every process has called this with the same name, but not for ever."""
        if jax.process_count() > 1:
            ocp.multihost.sync_global_processes(
                name,
                timeout=ocp.multihost.coordination_timeout(),
                processes=self._meeting.active_processes,
            )

    def read(self, path: pathlib.Path, items: Mapping[str, Any]) -> dict[str, Any]:
        """Reads some items of a checkpoint.

        Args:
          path: the folder of the checkpoint.
          items: `AVERAGES` or `REST`, or both, to the shapes, dtypes and shardings to restore into.

        Raises:
          ValueError, KeyError, OSError: the checkpoint does not hold such arrays, or cannot be
            read.
        """
        restored = {}
        # Item by item: a composite would look into those not asked for, which were not verified.
        for name, item in items.items():
            handler, folder = self._handlers[name], path / name
            stored = handler.metadata(folder).tree
            _check_arrays(stored, item, "averages." if name == AVERAGES else "")
            restored[name] = handler.restore(folder, args=ocp.args.StandardRestore(item))
        return restored


def with_sharding(shapes: Any, sharding: jax.sharding.Sharding) -> Any:
    """The result of `jax.eval_shape`, a state or a part of one, with a sharding on every leaf."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), shapes
    )


def _check_arrays(tree, abstract, prefix):
    """Raises ValueError with the first array that is missing, additional, or of another shape.

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
        # Random keys are stored as the integers below them, whose shape has one more axis.
        is_key = jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        if not is_key and stored[name] != leaf.shape:
            raise ValueError(f"{name} has shape {stored[name]} in it, {leaf.shape} in the config.")
