"""Restoring of a trained system with its averaged weights from a workdir."""

import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax

from volsynth import systems, tasks
from volsynth.compilations import keep_compilations
from volsynth.config import config_from_dict
from volsynth.data import mixture, prepared
from volsynth.errors import UserError
from volsynth.runs.opening import open_data, verify_splits
from volsynth.system import Batch, System, Variables, averaged_networks, evaluation_context
from volsynth.tasks.base import Prediction
from volsynth.train import checkpoint, checkpoint_arrays, run_record


class RestoredRun(NamedTuple):
    """A trained system and its averaged weights, ready to be applied.

    Attributes:
      config: the config of the run, with `data.dir` where the data is now.
      data: the data set of the training, verified; None if it comes from `restore_weights`.
      system: the system of the config.
      step: the step of the checkpoint.
      averages: the averaged variables, {network: variables}, on one device.
    """

    config: Any
    data: prepared.Prepared | None
    system: System
    step: int
    averages: Variables


def restore(
    workdir: str | os.PathLike[str],
    split_names: Sequence[str],
    step: int | Literal["best"] | None = None,
    data_dir: str | None = None,
) -> RestoredRun:
    """Reads a run's averaged weights, and opens some splits of its data.

    Args:
      workdir: the folder of the run.
      split_names: names of the splits that are verified.
      step: step of the checkpoint; "best" for the best by `config.train.best_by`, None for the
        newest good one.
      data_dir: folder in which the data is now; None for the one of the training.

    Raises:
      UserError: the workdir holds no run or no such checkpoint, or the data is another one.
    """
    workdir = pathlib.Path(workdir)
    run = run_record.read_run(workdir)
    config = config_from_dict(run["config"])
    with config.unlocked():
        config.data.dir = data_dir or config.data.dir
    data = open_data(config)
    # Scores on other data are no scores of this run, even where name and size agree.
    if data.identity != mixture.main_identity(run["data"]):
        raise UserError(
            f"{data.folder} is not the data set that {workdir} was trained on "
            f"({data.identity} here, {run['data']} there)."
        )
    verify_splits(config, data, *split_names)
    return _with_weights(workdir, run, config, step)._replace(data=data)


def restore_weights(
    workdir: str | os.PathLike[str], step: int | Literal["best"] | None = None
) -> RestoredRun:
    """Reads a run's averaged weights; the data that it was trained on need not be there.

    Args:
      workdir: the folder of the run.
      step: as in `restore`.

    Raises:
      UserError: the workdir holds no run or no such checkpoint.
    """
    workdir = pathlib.Path(workdir)
    run = run_record.read_run(workdir)
    return _with_weights(workdir, run, config_from_dict(run["config"]), step)


def _with_weights(workdir, run, config, step) -> RestoredRun:
    keep_compilations()
    system = systems.make(config)
    found, averages = restore_averages(system, config, workdir, step, run)
    return RestoredRun(config, None, system, found, averages)


def restore_averages(
    system: System,
    config: Any,
    workdir: pathlib.Path,
    step: int | Literal["best"] | None = None,
    run: dict[str, Any] | None = None,
) -> tuple[int, Variables]:
    """The step of a checkpoint, and the averaged variables in it on one device.

    Args:
      system: the system of the config.
      config: the config of the run.
      workdir: the folder of the run.
      step: as in `restore`.
      run: the record of `run.json`; None to read it.

    Raises:
      UserError: there is no such checkpoint.
    """
    # The shapes that the checkpoint must have follow from the config; nothing is initialised.
    batch = system.batch_spec(1, config.data.image_size)
    shapes = jax.eval_shape(system.init, jax.random.key(0), batch)
    shapes = {name: shapes[name] for name in averaged_networks(system, shapes)}
    best_by = config.train.best_by
    with checkpoint.Checkpoints(workdir, best_by=best_by, run=run) as checkpoints:
        found = checkpoints.steps
        if not found:
            raise UserError(f"{workdir} has no checkpoint yet. Train on: volsynth train.")
        if step == "best":
            step = checkpoints.best
            if step is None:
                raise UserError(
                    f"{workdir}: no checkpoint has a score (config.train.best_by is "
                    f"{best_by!r}); give the number of a step: {found}."
                )
        if step is not None and step not in found:
            raise UserError(f"{workdir} has no checkpoint {step}; there are {found}.")
        # A run on many devices may be evaluated on one.
        alone = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        return checkpoints.restore_averages(step, checkpoint_arrays.with_sharding(shapes, alone))


def predictor(system: System) -> Callable[[Variables, Batch], Prediction]:
    """A jitted function (variables, batch) -> prediction of the system's task.

    Args:
      system: the system; it is applied as outside of training.
    """
    select = tasks.TASKS[system.task].select

    # Selected within jit: XLA leaves out what no score needs.
    @jax.jit
    def predict(variables, batch):
        return select(system.forward(variables, batch, evaluation_context())[0])

    return predict
