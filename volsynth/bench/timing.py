"""Medians of the times of candidates that take turns."""

import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

from volsynth.diagnostics import machine

Say = Callable[[str], None]
"""A function that is told of the progress of a benchmark, one line at a time."""

PATIENCE = 20.0
"""The longest first run of a candidate that is run again, in seconds."""

QUICK = 0.1
"""The first run below which a candidate counts as quick, in seconds.

Quick candidates take their turns among themselves, because what a slow one leaves behind (cold
caches, memory given back to the system) would count as much as what they do.
"""

ROUNDS = 4
"""The number of turns that quick candidates have for each turn of the others."""


def median_seconds(
    candidates: Mapping[str, Callable[[], Any]],
    repeats: int,
    say: Say = lambda line: None,
) -> dict[str, float]:
    """Measures the seconds that each candidate takes; results that JAX computes are waited for.

    Args:
      candidates: functions without arguments, by name, compiled already where they can be.
      repeats: turns of each candidate after its first run; quick ones have `ROUNDS` times as many.
      say: is told of the first run of every candidate.

    Returns:
      The median over the turns or, for a candidate above `PATIENCE`, the time of its first run.
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
        # Once unmeasured, to bring their data back into the caches.
        for name in quick:
            _seconds(candidates[name])
        for _ in range(ROUNDS):
            for name in quick:
                taken[name].append(_seconds(candidates[name]))
    return {name: statistics.median(taken[name] or [first[name]]) for name in candidates}


def machine_info() -> dict[str, Any]:
    """Describes the machine that figures were measured on, in JSON values."""
    device = jax.devices()[0]
    return {
        "device": f"{jax.device_count()} x {device.device_kind} ({device.platform})",
        "processor": platform.processor() or platform.machine(),
        "huge_pages": machine.huge_pages(),
        "jax": jax.__version__,
    }


def _seconds(run):
    start = time.perf_counter()
    # JAX returns before it has computed.
    jax.block_until_ready(run())
    return time.perf_counter() - start
