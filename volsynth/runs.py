"""What a user runs: a config becomes data, a system and the engine; a workdir becomes scores."""

import functools
import pathlib
import sys
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax

from volsynth import config as configs
from volsynth import draw, systems, tasks
from volsynth import evaluate as evaluation
from volsynth.data import augment, fake, mixture, pipeline, prepared, verify
from volsynth.errors import UserError
from volsynth.system import System, Variables
from volsynth.train import checkpoint, distributed, loop, mesh, program
from volsynth.train import workdir as workdirs

SAMPLES = 6
"""Pairs in a sample picture during training."""


def train(config: Any, workdir: pathlib.Path) -> None:
    """Trains a config in a workdir, or resumes what is there.

    Raises:
      UserError: data, config, devices or workdir do not fit together.
      Interrupted, Diverged: see `volsynth.train.loop`.
    """
    _keep_compilations()
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
    augmentation = augment.of_config(config.data)
    if distributed.is_first():
        workdirs.claim_workdir(workdir, configs.to_dict(config), mixed.identity, system.notes)
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
    sample_pairs = evaluation.gallery_pairs(validation, config.seed, SAMPLES)
    samples = list(pipeline.evaluation_batches(validation, sample_pairs, len(sample_pairs)))
    task, make = tasks.TASKS[system.task], _maker(system)

    def draw_samples(averages):
        return evaluation.gallery(task, functools.partial(make, averages), samples)

    loop.train(system, config, batches, workdir, draw_samples)


def evaluate(
    workdir: pathlib.Path,
    split_name: str,
    step: int | Literal["best"] | None = None,
    data_dir: str | None = None,
    gallery_count: int = 12,
    out: pathlib.Path | None = None,
) -> dict[str, Any]:
    """Scores a run's averaged weights on a whole split; writes results and gallery.

    `step` is that of the checkpoint, "best" for the best by `config.train.best_by`; without one the
    newest good checkpoint is taken.

    Returns:
      {"label", "metrics", "baselines", "protocol", "notes", "step", "gallery"}, and "details" where
      the task has them.

    Raises:
      UserError: the workdir holds no run or no checkpoint, or the data is another one.
    """
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    config, data, system, step, averages = restore(workdir, (split_name, "train"), step, data_dir)
    split, batch_size = data.split(split_name), config.evaluate.batch_size
    out = out or workdir / f"evaluate-{split_name}"
    # Whatever can be wrong shows before the work is done.
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write results to {out}: {error.strerror}.") from error
    task, make = tasks.TASKS[system.task], functools.partial(_maker(system), averages)
    pairs = pipeline.evaluation_pairs(split, seed=0)
    trained = task.trained(data.split("train"), batch_size)
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(f"scoring {split_name}", total=len(pairs))
        scored = evaluation.evaluate(
            task,
            make,
            pipeline.evaluation_batches(split, pairs, batch_size),
            trained,
            functools.partial(progress.advance, bar),
        )
    results = evaluation.results(
        task,
        scored,
        protocol=evaluation.protocol(task, data, split_name, pairs),
        notes=dict(system.notes),
        step=step,
    )
    if gallery_count > 0:
        chosen = evaluation.gallery_pairs(split, 0, gallery_count)
        picture = evaluation.gallery(
            task, make, pipeline.evaluation_batches(split, chosen, batch_size)
        )
        draw.save_png(out / "gallery.png", picture)
        results["gallery"] = str(out / "gallery.png")
    evaluation.write_results(out, results)
    return results


class Restored(NamedTuple):
    """A run, ready to generate.

    Attributes:
      config: of the run, with `data.dir` where the data is now.
      data: that it was trained on, its files verified.
      system: of the config.
      step: of the checkpoint.
      averages: {network: averaged weights}, on one device.
    """

    config: Any
    data: prepared.Prepared
    system: System
    step: int
    averages: Variables


def restore(
    workdir: pathlib.Path,
    split_names: Sequence[str],
    step: int | Literal["best"] | None = None,
    data_dir: str | None = None,
) -> Restored:
    """Reads a run's averaged weights, and opens these splits of its data.

    `step` is as in `evaluate`.

    Raises:
      UserError: the workdir holds no run or no such checkpoint, or the data is another one.
    """
    _keep_compilations()
    run = workdirs.read_run(workdir)
    config = configs.from_dict(run["config"])
    with config.unlocked():
        config.data.dir = data_dir or config.data.dir
    data = _open_data(config)
    if data.identity != mixture.main_identity(run["data"]):
        raise UserError(
            f"{data.folder} is not the data set that {workdir} was trained on "
            f"({data.identity} here, {run['data']} there)."
        )
    _verify(config, data, *split_names)
    system = systems.make(config)
    return Restored(config, data, system, *restore_averages(system, config, workdir, step))


def _maker(system):
    """A jitted function (variables, batch) -> what its task scores, without training behaviour."""
    taken = tasks.TASKS[system.task].taken

    @jax.jit
    def make(variables, batch):
        # Nothing is random outside of training, but the contract asks for a key.
        return taken(system.forward(variables, batch, jax.random.key(0), train=False)[0])

    return make


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
        verify.verify(data, names, lambda line: print(line, file=sys.stderr, flush=True))
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
