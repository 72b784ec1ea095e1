"""Medians of repeated runs, of candidates that take turns."""

import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

from volsynth import doctor

PATIENCE = 20.0
"""Seconds: a candidate whose first run takes longer is not run a second time."""

QUICK = 1.0
"""Seconds: a candidate that takes less runs once more before every turn that counts."""


def medians(
    candidates: Mapping[str, Callable[[], Any]],
    repeats: int,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, float]:
    """Seconds that each candidate takes; results that JAX computes are waited for.

    Args:
      candidates: compiled already, as far as they are.
      repeats: how often each runs after its first time.
      say: told about every candidate once.
    """
    taken: dict[str, list[float]] = {}
    for name, run in candidates.items():
        taken[name] = [_seconds(run)]
        say(f"{name}: {taken[name][0]:.3g} s the first time")
    taken_first = {name: values[0] for name, values in taken.items()}
    patient = [name for name, values in taken.items() if values[0] <= PATIENCE]
    for name in patient:
        taken[name].clear()
    for _ in range(repeats):
        for name in patient:
            # What ran before leaves caches cold and memory given back; that must not count.
            if taken_first[name] < QUICK:
                _seconds(candidates[name])
            taken[name].append(_seconds(candidates[name]))
    return {name: statistics.median(values) for name, values in taken.items()}


def machine() -> dict[str, Any]:
    """What the figures belong to."""
    device = jax.devices()[0]
    return {
        "device": f"{jax.device_count()} x {device.device_kind} ({device.platform})",
        "processor": platform.processor() or platform.machine(),
        "huge_pages": doctor.huge_pages(),
        "jax": jax.__version__,
    }


def _seconds(run):
    start = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - start
