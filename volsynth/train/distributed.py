"""Training of one model by several processes, through JAX's own distributed runtime."""

import os
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from volsynth.errors import UserError

VARIABLES = ("VOLSYNTH_COORDINATOR", "VOLSYNTH_PROCESSES", "VOLSYNTH_PROCESS")
"""Environment variables: host:port of process 0, how many processes there are, and the number of
this one, from 0."""

HEARTBEAT_TIMEOUT = 20
"""Seconds after which a process that gives no sign of life counts as dead, and all others end."""

START_TIMEOUT = 300
"""Seconds that the processes wait for each other at the start of a run."""


def join(environment: Mapping[str, str] = os.environ) -> None:
    """Joins the group of processes that the environment names; call it before JAX is used.

    The group is that of `VARIABLES` if they are set, as `python -m launch local` does; otherwise
    the one that JAX finds by itself: Slurm, Cloud TPU, Kubernetes, Open MPI.

    Args:
      environment: the environment variables.

    Raises:
      UserError: only some of the variables are set, they make no sense, or there is no group.
    """
    found = {name: environment[name] for name in VARIABLES if environment.get(name)}
    if found and len(found) < len(VARIABLES):
        missing = ", ".join(name for name in VARIABLES if name not in found)
        raise UserError(f"--distributed: {missing} not set; set all of {', '.join(VARIABLES)}.")
    # Without arguments JAX asks the cluster that it runs on.
    arguments: dict[str, Any] = {}
    if found:
        address, count, index = (found[name] for name in VARIABLES)
        if not count.isdigit() or not index.isdigit() or int(index) >= int(count):
            raise UserError(
                f"--distributed: process {index} of {count} cannot be; {VARIABLES[1]} is how many "
                f"there are, {VARIABLES[2]} which this is, from 0."
            )
        arguments = {
            "coordinator_address": address,
            "num_processes": int(count),
            "process_id": int(index),
        }
    try:
        jax.distributed.initialize(
            **arguments,
            initialization_timeout=START_TIMEOUT,
            heartbeat_timeout_seconds=HEARTBEAT_TIMEOUT,
        )
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"--distributed: no group of processes to join ({reason}). Start it by `python -m "
            f"launch`, under Slurm, or with {', '.join(VARIABLES)} set."
        ) from error


class Agreement:
    """A common answer to whether to stop, which all processes get at the same step.

    The answer is that to the call before, so that nobody waits for it. A single process gets its
    own wish back at once.
    """

    def __init__(self, devices: Mesh) -> None:
        """Prepares the exchange.

        Args:
          devices: the mesh that the run trains on, of all processes.
        """
        self._alone = jax.process_count() == 1
        self._pending = None
        if not self._alone:
            # One value of each device: an exchange between processes is one between devices.
            self._sharding = NamedSharding(devices, PartitionSpec(devices.axis_names))
            self._any = jax.jit(
                lambda flags: flags.max(), out_shardings=NamedSharding(devices, PartitionSpec())
            )
            self._size = devices.size
            # GPUs and TPUs run programs one after the other, in the order of the calls.
            self._ordered = devices.devices.flat[0].platform != "cpu"

    def __call__(self, wish: bool, after: Any) -> bool:
        """Tells the wish of this process; returns whether any process had it at the call before.

        Args:
          wish: whether this process wants to stop.
          after: a result of the step before. CPUs run programs that do not depend on each other at
            the same time, and two exchanges between processes at once may be mistaken for each
            other.
        """
        if self._alone:
            return wish
        answer = self._pending is not None and bool(int(self._pending))
        flags = jax.make_array_from_callback(
            (self._size,), self._sharding, lambda index: np.full((1,), wish, np.int32)
        )
        if not self._ordered:
            jax.block_until_ready(after)
        self._pending = self._any(flags)
        if not self._ordered:
            self._pending.block_until_ready()
        return answer


def is_first() -> bool:
    """Whether this process is the one that writes files and talks to the user."""
    return jax.process_index() == 0
