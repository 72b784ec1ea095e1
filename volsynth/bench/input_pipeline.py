"""The benchmark of the input pipeline: whether batches come as fast as training takes them.

The pipeline is measured alone and, where there is a config, beside the config's training step.
"""

import functools
import time
from collections.abc import Iterable, Iterator
from typing import Any

import jax

from volsynth import systems
from volsynth.bench import timing
from volsynth.bench.timing import Say
from volsynth.data import augment, pipeline, prepared
from volsynth.errors import UserError
from volsynth.train import mesh, phases, program

SIZES = ("64", "128", "256")
"""The builder configs that are measured without a config: every image size."""

POOLS = (1, 2, 4)
"""The numbers of threads that are always measured."""

BATCHES = 32
"""The number of batches of one turn of the pipeline."""

STEPS = 20
"""The number of steps of one turn of the training loop; fewer where they take long."""

LONG = 10.0
"""The time that a turn of the training loop should not exceed, in seconds.

A turn has three steps at least, however long they take.
"""


def builder_configs(named: str | None, config: Any) -> tuple[str, ...]:
    """Returns the builder configs to measure: the named one, the config's, or every size."""
    if named is not None:
        return (named,)
    return SIZES if config is None else (config.data.config,)


def open_sets(
    data_dir: str, name: str, configs: Iterable[str], say: Say
) -> dict[str, prepared.Prepared]:
    """Opens those of some data sets that are prepared, by builder config.

    How to prepare each of the others is told to `say`.

    Raises:
      DataError: none of them is prepared.
    """
    found, missing = {}, []
    for config in configs:
        try:
            found[config] = prepared.open_prepared(data_dir, name, config)
        except prepared.DataError as error:
            missing.append(error)
    if not found:
        raise missing[0]
    # Their messages name the command that prepares them.
    for error in missing:
        say(str(error))
    return found


def report(
    sets: dict[str, prepared.Prepared], config: Any, repeats: int, say: Say
) -> dict[str, Any]:
    """Measures the pipeline for every data set and, with a config, its training step beside it.

    Args:
      sets: the data sets, opened, by builder config.
      config: the config whose batches and step are measured; None for batches of 8 pairs and no
        step.
      repeats: turns of each candidate.
      say: is told of the progress.

    Returns:
      JSON values: "inputs", `bench_input` of every data set; "machine"; with a config also "step",
      `bench_waiting` and how many times faster the pipeline is than the step.

    Raises:
      UserError: the images have another size than the config's.
    """
    batch_size, single, threads, augmentation = 8, 0.0, -1, augment.NONE
    if config is not None:
        for data in sets.values():
            if data.image_size != config.data.image_size:
                raise UserError(
                    f"{data.folder} has images of {data.image_size} pixels, "
                    f"config.data.image_size is {config.data.image_size}; choose --config-name, "
                    "or change it."
                )
        batch_size, single = config.train.batch_size, config.data.single
        threads = config.data.threads
        augmentation = augment.from_config(config.data)
    rows = [
        bench_input(data, batch_size, single, threads, repeats, say, augmentation)
        for data in sets.values()
    ]
    result: dict[str, Any] = {"inputs": rows, "machine": timing.machine_info()}
    if config is not None:
        # With a config there is exactly one data set (`builder_configs`).
        (data,), (row,) = sets.values(), rows
        waiting = bench_waiting(config, data, repeats, say)
        rate = row["images_per_second"] / waiting["images_per_second_consumed"]
        result["step"] = {**waiting, "pipeline_over_step": rate}
    return result


def bench_input(
    data: prepared.Prepared,
    batch_size: int,
    single: float,
    threads: int,
    repeats: int,
    say: Say,
    augmentation: augment.Augment = augment.NONE,
) -> dict[str, Any]:
    """Measures the images that pools of threads read and decode per second.

    The files were read before, so that they come from the system's cache and not from the disk.

    Args:
      data: the data set, whose training split is read.
      batch_size: pairs of a batch; a pair is two images.
      single: the share of samples whose target is the source.
      threads: the number of threads as in a config; measured beside `POOLS`.
      repeats: turns of each pool, `BATCHES` batches a turn.
      say: is told of the progress.
      augmentation: how much images are changed; if they are, `threads` are also measured without.

    Returns:
      JSON values: "images_per_second" with `threads`, "images_per_second_by_threads",
      "batch_to_device_seconds" and what they depend on; with an augmentation also
      "images_per_second_not_augmented".
    """
    split = data.split("train")
    threads = pipeline.thread_count(threads)

    def consume(count, changes=augmentation):
        stream = pipeline.training_batches(
            split, 0, batch_size, 0, BATCHES, single, threads=count, augmentation=changes
        )
        for _ in stream:
            pass

    # One batch for all copies to the device, so that decoding is not in their time.
    batch = next(pipeline.training_batches(split, 0, batch_size, 0, 1, single))
    pools = sorted({*POOLS, threads})
    runs = {f"{n} threads": functools.partial(consume, n) for n in pools}
    unchanged = f"{threads} threads, not augmented"
    # Beside the same without changes: the difference is what the augmentation costs.
    if augmentation.changes:
        runs[unchanged] = functools.partial(consume, threads, augment.NONE)
    runs["to the device"] = lambda: jax.device_put(batch)
    say(f"{data.folder}: batches of {batch_size} pairs")
    seconds = timing.median_seconds(runs, repeats, say)
    images = 2 * batch_size * BATCHES
    # Strings, because JSON has no other keys.
    rates = {str(n): images / seconds[f"{n} threads"] for n in pools}
    if augmentation.changes:
        plain = {"images_per_second_not_augmented": images / seconds[unchanged]}
    else:
        plain = {}
    return {
        "data": f"{data.manifest['name']}/{data.manifest['config']}",
        "image_size": data.image_size,
        "batch_size": batch_size,
        "threads": threads,
        "images_per_second": rates[str(threads)],
        **plain,
        "images_per_second_by_threads": rates,
        "batch_to_device_seconds": seconds["to the device"],
    }


def bench_waiting(config: Any, data: prepared.Prepared, repeats: int, say: Say) -> dict[str, Any]:
    """Measures the training step of a config alone, and fed by the pipeline as in training.

    Args:
      config: a whole config; its first phase is run.
      data: the data set that feeds the step.
      repeats: turns of both candidates.
      say: is told of the progress.

    Returns:
      JSON values: seconds of a step alone and fed, images per second that the step takes when it
      never waits, the share of its time that it waits when it is fed, and the steps of a turn.
    """
    batch_size = config.train.batch_size
    (batch,) = _training_batches(config, data, 0, 1)
    loop = _Loop(config, batch, say)

    # Costs nothing, so that the step alone is measured.
    def same_batch():
        while True:
            yield batch

    # The first turn compiles, the second one tells how long a step takes.
    loop.turn(same_batch(), 1)
    start = time.perf_counter()
    loop.turn(same_batch(), 1)
    count = int(min(STEPS, max(3, LONG / (time.perf_counter() - start))))
    # Enough for every turn that `median_seconds` may take, with the batch that is asked for ahead.
    stream = _training_batches(config, data, 0, (repeats + 2) * (timing.ROUNDS + 1) * (count + 1))
    fed_seconds = fed_waited = 0.0

    def fed():
        nonlocal fed_seconds, fed_waited
        begun = time.monotonic()
        fed_waited += loop.turn(stream, count)
        fed_seconds += time.monotonic() - begun

    candidates = {"alone": lambda: loop.turn(same_batch(), count), "fed": fed}
    seconds = timing.median_seconds(candidates, repeats, say)
    # Ends the threads that read ahead.
    stream.close()
    return {
        "step_seconds": seconds["alone"] / count,
        "step_seconds_fed": seconds["fed"] / count,
        "images_per_second_consumed": 2 * batch_size * count / seconds["alone"],
        "share_waiting": fed_waited / fed_seconds,
        "steps": count,
    }


def _training_batches(config, data, start, stop):
    settings = config.data
    return pipeline.training_batches(
        data.split("train"),
        config.seed,
        config.train.batch_size,
        start,
        stop,
        settings.single,
        threads=settings.threads,
        augmentation=augment.from_config(settings),
        fields=systems.make(config).inputs,
    )


class _Loop:
    """The training loop without checkpoints and logs.

    Attributes:
      devices: the mesh.
      batch_size: pairs of a batch.
      step: the compiled step of the config's first phase.
      state: the state of training.
    """

    def __init__(self, config, batch, say) -> None:
        self.batch_size = config.train.batch_size
        system = systems.make(config)
        self.devices = mesh.make(
            config.mesh, self.batch_size, config.data.image_size // system.coarsest_stride
        )
        trained = program.make(system, config)
        placed = program.place(trained, self.devices, config.seed, batch, config.mesh.shard_state)
        self.state = placed.init()
        say("compiling the step")
        self.step = placed.steps[phases.phase_of(trained.spans, 0)]

    def turn(self, stream: Iterator, count: int) -> float:
        """Runs `count` steps and returns the seconds that they waited for batches.

        As in training, the next batch is asked for while a step runs, and the metrics of a step are
        read when the next one has been started.
        """
        waited = 0.0
        # The first batch is fetched outside of the measured wait, as in a run that is under way.
        following, pending = mesh.to_devices(self.devices, next(stream), self.batch_size), None
        for _ in range(count):
            self.state, metrics = self.step(self.state, following)
            before = time.monotonic()
            fetched = next(stream)
            waited += time.monotonic() - before
            following = mesh.to_devices(self.devices, fetched, self.batch_size)
            jax.device_get(pending)
            pending = metrics
        # JAX returns before it has computed.
        jax.block_until_ready(self.state)
        return waited
