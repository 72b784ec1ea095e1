"""The cache on disk of compiled programs."""

import pathlib

import jax


def keep_compilations() -> None:
    """Turns on the cache on disk of compiled programs, which later processes read."""
    cache = pathlib.Path.home() / ".cache" / "volsynth" / "xla"
    # Whoever has set a folder of their own keeps it.
    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(cache))
        # What compiles faster than it is read from a disk is not worth the space.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
