"""What a user runs: a config becomes data, a system and the engine; a workdir a system again."""

import functools
import os
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax

from volsynth import systems, tasks
from volsynth.config import config_from_dict, config_to_dict
from volsynth.data import augment, fake, mixture, pipeline, prepared, verify
from volsynth.errors import UserError
from volsynth.system import Batch, System, Variables
from volsynth.tasks import gallery
from volsynth.tasks.base import Made
from volsynth.train import checkpoint, distributed, loop, mesh, program, run_record

SAMPLES = 6
"""Pairs in a sample picture during training."""


def train(config: Any, workdir: str | os.PathLike[str]) -> None:
    """Trains a config in a workdir, or resumes what is there.

    Raises:
      UserError: data, config, devices or workdir do not fit together.
      Interrupted, Diverged: see `volsynth.train.loop`.
    """
    _keep_compilations()
    workdir = pathlib.Path(workdir)
    data = _open_data(config)
    mixed = mixture.open_mixture(data, config.data.dir, config.data.get("also", {}))
    _verify(config, data, "train", "validation")
    for other in mixed.sets[1:]:
        _verify(config, other, "train")
    # Everything that can be wrong with the config shows before the workdir is touched.
    system = systems.make(config)
    devices = mesh.make(config.mesh, config.train.batch_size, config.data.image_size)
    trained = program.make(system, config)
    _trace(trained, config)
    _check_counts(config)
    if not 0 <= config.data.single <= 1:
        raise UserError(f"config.data.single must lie in [0, 1], got {config.data.single}.")
    augmentation = augment.from_config(config.data)
    if distributed.is_first():
        record = config_to_dict(config)
        run_record.claim_workdir(
            workdir, record, mixed.identity, system.notes, mixed.former_identity
        )
    train_split = mixed.split("train")
    threads = config.data.get("threads", -1)

    rows = mesh.local_rows(devices, config.train.batch_size)

    def batches(start, stop):
        return pipeline.training_batches(
            train_split,
            config.seed,
            config.train.batch_size,
            start,
            stop,
            config.data.single,
            rows=rows,
            threads=threads,
            augmentation=augmentation,
        )

    validation = data.split("validation")
    sample_pairs = gallery.gallery_pairs(validation, config.seed, SAMPLES)
    samples = list(pipeline.evaluation_batches(validation, sample_pairs, len(sample_pairs)))
    task, make = tasks.TASKS[system.task], maker(system)

    def draw_samples(averages):
        return gallery.gallery(task, functools.partial(make, averages), samples)

    loop.train(system, config, batches, workdir, draw_samples)


class Restored(NamedTuple):
    """A run, ready to generate.

    Attributes:
      config: of the run, with `data.dir` where the data is now.
      data: that it was trained on, its files verified; None from `restore_weights`.
      system: of the config.
      step: of the checkpoint.
      averages: {network: averaged weights}, on one device.
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
) -> Restored:
    """Reads a run's averaged weights, and opens these splits of its data.

    `step` is that of the checkpoint, "best" for the best by `config.train.best_by`; without one the
    newest good checkpoint is taken. The data is where it was in training, or in `data_dir`.

    Raises:
      UserError: the workdir holds no run or no such checkpoint, or the data is another one.
    """
    workdir = pathlib.Path(workdir)
    run = run_record.read_run(workdir)
    config = config_from_dict(run["config"])
    with config.unlocked():
        config.data.dir = data_dir or config.data.dir
    data = _open_data(config)
    if not data.is_called(mixture.main_identity(run["data"])):
        raise UserError(
            f"{data.folder} is not the data set that {workdir} was trained on "
            f"({data.identity} here, {run['data']} there)."
        )
    _verify(config, data, *split_names)
    return restore_weights(workdir, step)._replace(config=config, data=data)


def restore_weights(
    workdir: str | os.PathLike[str], step: int | Literal["best"] | None = None
) -> Restored:
    """Reads a run's averaged weights; whatever it was trained on need not be there.

    `step` is as in `restore`.

    Raises:
      UserError: the workdir holds no run or no such checkpoint.
    """
    _keep_compilations()
    workdir = pathlib.Path(workdir)
    config = config_from_dict(run_record.read_run(workdir)["config"])
    system = systems.make(config)
    return Restored(config, None, system, *restore_averages(system, config, workdir, step))


def maker(system: System) -> Callable[[Variables, Batch], Made]:
    """A jitted function (variables, batch) -> what its task scores, without training behaviour."""
    taken = tasks.TASKS[system.task].taken

    @jax.jit
    def make(variables, batch):
        # Nothing is random outside of training, but the contract asks for a key.
        return taken(system.forward(variables, batch, jax.random.key(0), train=False)[0])

    return make


def say(line: str) -> None:
    """Tells the user something that is no result."""
    print(line, file=sys.stderr, flush=True)


def _trace(trained, config):
    """Shapes of a whole step: what networks and losses cannot do, they say here."""
    batch = fake.spec(config.train.batch_size, config.data.image_size)
    whole = jax.eval_shape(trained.init, jax.random.key(0), batch)
    for move in trained.steps.values():
        jax.eval_shape(move, whole, batch)


def _check_counts(config):
    counts = {f"train.{key}": value for key, value in config.train.items()}
    counts["evaluate.batch_size"] = config.evaluate.batch_size
    for name, value in counts.items():
        if isinstance(value, int) and value < 1:
            raise UserError(f"config.{name} must be at least 1, got {value}.")


def _open_data(config):
    data = prepared.open_prepared(config.data.dir, config.data.name, config.data.config)
    if data.image_size != config.data.image_size:
        raise UserError(
            f"{data.folder} has images of {data.image_size} pixels, config.data.image_size is "
            f"{config.data.image_size}; change it, or config.data.config."
        )
    pipeline.thread_count(config.data.get("threads", -1))
    return data


def _verify(config, data, *names):
    """Finds what is missing or damaged before the work begins."""
    if config.data.get("verify", True):
        verify.verify(data, names, say)
    else:
        for name in names:
            data.split(name)


def restore_averages(
    system: System, config: Any, workdir: pathlib.Path, step: int | Literal["best"] | None = None
) -> tuple[int, Variables]:
    """A run's averaged weights on one device, and their step; its data is not needed.

    `step` is as in `evaluate`.

    Raises:
      UserError: there is no such checkpoint.
    """
    shapes = jax.eval_shape(
        program.make(system, config).init, jax.random.key(0), fake.spec(1, config.data.image_size)
    )
    best_by = config.train.get("best_by", "")
    with checkpoint.Checkpoints(workdir, best_by=best_by) as checkpoints:
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
        alone = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        return checkpoints.averages(step, checkpoint.abstract(shapes.averages, alone))


def _keep_compilations():
    """Compiles once per machine: later runs read what earlier ones compiled."""
    cache = pathlib.Path.home() / ".cache" / "volsynth" / "xla"
    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
