"""What training and restoring a run begin with: its data, opened and verified, and a cache."""

import pathlib
import sys
from typing import Any

import jax

from volsynth.data import pipeline, prepared, verify
from volsynth.errors import UserError


def say(line: str) -> None:
    """Tells the user something that is no result, on standard error."""
    print(line, file=sys.stderr, flush=True)


def open_data(config: Any) -> prepared.Prepared:
    """The data set of a config.

    Raises:
      UserError: there is no such data set, its images have another size, or the number of threads
        that read it cannot be.
    """
    data = prepared.open_prepared(config.data.dir, config.data.name, config.data.config)
    if data.image_size != config.data.image_size:
        raise UserError(
            f"{data.folder} has images of {data.image_size} pixels, config.data.image_size is "
            f"{config.data.image_size}; change it, or config.data.config."
        )
    pipeline.thread_count(config.data.threads)
    return data


def verify_splits(config: Any, data: prepared.Prepared, *names: str) -> None:
    """Finds what is missing or damaged in some splits before the work begins.

    Raises:
      UserError: a split is not there, or one of its files is missing or damaged.
    """
    if config.data.verify:
        verify.verify(data, names, say)
    else:
        for name in names:
            data.split(name)


def keep_compilations() -> None:
    """Compiles every program once per machine: later runs read what earlier ones compiled."""
    cache = pathlib.Path.home() / ".cache" / "volsynth" / "xla"
    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(cache))
        # What compiles faster than it is read from a disk is not worth the space.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
