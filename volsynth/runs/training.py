"""Training of a config, as `volsynth train` runs it: data, system and engine are put together."""

import functools
import os
import pathlib
from typing import Any

import jax

from volsynth import systems, tasks
from volsynth.compilations import keep_compilations
from volsynth.config import config_to_dict
from volsynth.data import augment, mixture, pipeline, sampling
from volsynth.errors import UserError
from volsynth.runs.opening import open_data, verify_splits
from volsynth.runs.restoring import predictor
from volsynth.tasks.gallery import gallery, gallery_pairs
from volsynth.train import distributed, loop, mesh, program, run_record

SAMPLES = 6
"""Number of pairs that a sample picture during training shows."""


def train(config: Any, workdir: str | os.PathLike[str]) -> None:
    """Trains a config in a workdir, or resumes the run that is there.

    Args:
      config: the whole config.
      workdir: the folder of the run; it need not exist.

    Raises:
      UserError: data, config, devices or workdir do not fit together.
      Interrupted, Diverged: see `volsynth.train.loop`.
    """
    keep_compilations()
    workdir = pathlib.Path(workdir)
    data = open_data(config)
    mixed = mixture.open_mixture(data, config.data.dir, config.data.also.to_dict())
    verify_splits(config, data, "train", "validation")
    # Of the other data sets nothing but training samples is read.
    for other in mixed.sets[1:]:
        verify_splits(config, other, "train")
    # Everything that can be wrong with the config shows before the workdir is touched.
    system = systems.make(config)
    height = config.data.image_size // system.coarsest_stride
    devices = mesh.make(config.mesh, config.train.batch_size, height)
    trained = program.make(system, config)
    example = system.batch_spec(config.train.batch_size, config.data.image_size)
    placed = program.place(trained, devices, config.seed, example, config.mesh.shard_state)
    # Networks and losses raise their errors when a step is traced; JAX remembers what it traced.
    # The second phase of a run may begin after days.
    for step in placed.steps.values():
        jax.eval_shape(step, placed.state, placed.batch)
    _check_counts(config)
    if not 0 <= config.data.single <= 1:
        raise UserError(f"config.data.single must lie in [0, 1], got {config.data.single}.")
    augmentation = augment.from_config(config.data)
    # The workdir is shared: all processes would write the same file at the same time.
    if distributed.is_first():
        record = config_to_dict(config)
        run_record.claim_workdir(
            workdir, record, mixed.identity, system.notes, system.file_keys, system.later_keys
        )
    train_split = mixed.split("train")
    # Every process makes the examples that its own devices work on, and no others.
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
            threads=config.data.threads,
            augmentation=augmentation,
            fields=system.inputs,
            frames=system.frames,
        )

    draw_samples = _sampler(system, data.split("validation"), config.seed)
    loop.train(trained, placed, devices, config, batches, workdir, draw_samples)


def _sampler(system, split, seed):
    """A function (averaged variables) -> a sample picture of their predictions for some pairs."""
    # Decoded once: all samples of a run are of the same pairs, so that they can be compared.
    task, predict = tasks.TASKS[system.task], predictor(system)
    wanted = [*dict.fromkeys((*sampling.SAMPLERS[task.sampler].fields, *system.inputs))]
    sampler = sampling.find_sampler(wanted)
    pairs = gallery_pairs(split, seed, SAMPLES, sampler=sampler, frames=system.frames)
    batches = list(pipeline.evaluation_batches(split, pairs, len(pairs), wanted, system.frames))
    return lambda averages: gallery(task, functools.partial(predict, averages), batches)


def _check_counts(config):
    counts = {f"train.{key}": value for key, value in config.train.items()}
    counts["evaluate.batch_size"] = config.evaluate.batch_size
    # Steps that are a table, those of several phases, were checked with the phases.
    for name, value in counts.items():
        if isinstance(value, int) and value < 1:
            raise UserError(f"config.{name} must be at least 1, got {value}.")
