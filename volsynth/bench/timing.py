"""Medians of repeated runs, of candidates that take turns."""

import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

from volsynth.diagnostics import doctor

PATIENCE = 20.0
"""Seconds: a candidate whose first run takes longer is not run a second time."""

QUICK = 0.1
"""Seconds: candidates that take less have their turns among themselves, ROUNDS for each of the
others', so that what those leave behind (cold caches, memory given back) does not count."""

ROUNDS = 4


def medians(
    candidates: Mapping[str, Callable[[], Any]],
    repeats: int,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, float]:
    """Seconds that each candidate takes; results that JAX computes are waited for.

    Args:
      candidates: compiled already, as far as they are.
      repeats: how many turns each has after its first; quick ones `ROUNDS` times as many.
      say: told about every candidate once.
    """
    first = {}
    for name, run in candidates.items():
        first[name] = _seconds(run)
        say(f"{name}: {first[name]:.3g} s the first time")
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    quick = [name for name in candidates if first[name] < QUICK]
    slow = [name for name in candidates if QUICK <= first[name] <= PATIENCE]
    for _ in range(repeats):
        for name in slow:
            taken[name].append(_seconds(candidates[name]))
        for name in quick:
            _seconds(candidates[name])
        for _ in range(ROUNDS):
            for name in quick:
                taken[name].append(_seconds(candidates[name]))
    return {name: statistics.median(taken[name] or [first[name]]) for name in candidates}


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
