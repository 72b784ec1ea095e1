"""Whether data comes as fast as training takes it: the pipeline alone, and beside a step."""

import functools
import time
from collections.abc import Iterable
from typing import Any

import jax

from volsynth import systems
from volsynth.bench import timing
from volsynth.bench.cases import Say
from volsynth.data import augment, pipeline, prepared
from volsynth.errors import UserError
from volsynth.train import mesh, phases, program

SIZES = ("64", "128", "256")
POOLS = (1, 2, 4)
BATCHES = 32
"""Batches of one turn of the pipeline."""

STEPS = 20
"""Steps of one turn of the loop; fewer where they take long."""

LONG = 10.0
"""Seconds that a turn of the loop should not take more than; it has three steps at least."""


def open_sets(
    data_dir: str, name: str, configs: Iterable[str], say: Say
) -> dict[str, prepared.Prepared]:
    """The data sets among these that are prepared; how to prepare the others is said.

    Raises:
      DataError: none is.
    """
    found, missing = {}, []
    for config in configs:
        try:
            found[config] = prepared.open_prepared(data_dir, name, config)
        except prepared.DataError as error:
            missing.append(error)
    if not found:
        raise missing[0]
    for error in missing:
        say(str(error))
    return found


def bench_input(
    data: prepared.Prepared,
    batch_size: int,
    single: float,
    threads: int,
    repeats: int,
    say: Say,
    augmentation: augment.Augment = augment.NONE,
) -> dict[str, Any]:
    """Images that pools of threads read and decode per second, from files that were read before.

    Args:
      data: whose training split.
      batch_size: pairs of a batch; a pair is two images.
      single: share of samples whose target is the source.
      threads: as in a config; this pool is measured beside `POOLS`.
      repeats: turns of each pool, `BATCHES` batches a turn.
      say: told of the progress.
      augmentation: how much images are changed; where they are, `threads` are measured without
        that, too.
    """
    split = data.split("train")
    threads = pipeline.thread_count(threads)

    def consume(count, changes=augmentation):
        stream = pipeline.training_batches(
            split, 0, batch_size, 0, BATCHES, single, threads=count, augmentation=changes
        )
        for _ in stream:
            pass

    batch = next(pipeline.training_batches(split, 0, batch_size, 0, 1, single))
    pools = sorted({*POOLS, threads})
    runs = {f"{n} threads": functools.partial(consume, n) for n in pools}
    unchanged = f"{threads} threads, not augmented"
    if augmentation.changes:
        runs[unchanged] = functools.partial(consume, threads, augment.NONE)
    runs["to the device"] = lambda: jax.device_put(batch)
    say(f"{data.folder}: batches of {batch_size} pairs")
    seconds = timing.medians(runs, repeats, say)
    images = 2 * batch_size * BATCHES
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
    """The real step of a config by itself and fed by the pipeline, as the training loop feeds it.

    Args:
      config: whole; its first phase is run.
      data: to feed it with.
      repeats: turns of both.
      say: told of the progress.
    """
    split, settings = data.split("train"), config.data
    batch_size, threads = config.train.batch_size, settings.get("threads", -1)

    augmentation = augment.from_config(settings)

    def batches(start, stop):
        return pipeline.training_batches(
            split,
            config.seed,
            batch_size,
            start,
            stop,
            settings.single,
            threads=threads,
            augmentation=augmentation,
        )

    devices = mesh.make(config.mesh, batch_size, settings.image_size)
    trained = program.make(systems.make(config), config)
    batch = next(batches(0, 1))
    placed = program.place(trained, devices, config.seed, batch, config.mesh.shard_state)
    current = placed.init()
    say("compiling the step")
    step = placed.steps[phases.at(trained.ends, 1)]
    waited = 0.0

    def turn(stream, count):
        """`count` steps in the loop's order: the next batch is asked for while the step runs."""
        nonlocal current, waited
        following, pending = mesh.put(devices, next(stream), batch_size), None
        for _ in range(count):
            current, metrics = step(current, following)
            before = time.monotonic()
            fetched = next(stream)
            waited += time.monotonic() - before
            following = mesh.put(devices, fetched, batch_size)
            jax.device_get(pending)
            pending = metrics
        jax.block_until_ready(current)

    def endless():
        while True:
            yield batch

    turn(endless(), 1)
    start = time.perf_counter()
    turn(endless(), 1)
    count = int(min(STEPS, max(3, LONG / (time.perf_counter() - start))))
    stream = batches(0, (repeats + 2) * (timing.ROUNDS + 1) * (count + 1))
    fed_seconds = fed_waited = 0.0

    def fed():
        nonlocal waited, fed_seconds, fed_waited
        waited, begun = 0.0, time.monotonic()
        turn(stream, count)
        fed_seconds += time.monotonic() - begun
        fed_waited += waited

    seconds = timing.medians({"alone": lambda: turn(endless(), count), "fed": fed}, repeats, say)
    stream.close()
    return {
        "step_seconds": seconds["alone"] / count,
        "step_seconds_fed": seconds["fed"] / count,
        "images_per_second_consumed": 2 * batch_size * count / seconds["alone"],
        "share_waiting": fed_waited / fed_seconds,
        "steps": count,
    }


def report(
    sets: dict[str, prepared.Prepared], config: Any, repeats: int, say: Say
) -> dict[str, Any]:
    """All of it.

    Args:
      sets: opened, by name of their config.
      config: whose batches and step; None for batches of 8 pairs and no step.
      repeats: turns of each candidate.
      say: told of the progress.

    Raises:
      UserError: images are not of the config's size.
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
        threads = config.data.get("threads", -1)
        augmentation = augment.from_config(config.data)
    rows = [
        bench_input(data, batch_size, single, threads, repeats, say, augmentation)
        for data in sets.values()
    ]
    result: dict[str, Any] = {"inputs": rows, "machine": timing.machine()}
    if config is not None:
        # With a config there is one data set.
        (data,), (row,) = sets.values(), rows
        waiting = bench_waiting(config, data, repeats, say)
        rate = row["images_per_second"] / waiting["images_per_second_consumed"]
        result["step"] = {**waiting, "pipeline_over_step": rate}
    return result


def default_data(named: str | None, config: Any) -> tuple[str, ...]:
    """Configs of the builder to look at: the one that is named, the config's, or every size."""
    if named is not None:
        return (named,)
    return SIZES if config is None else (config.data.config,)
