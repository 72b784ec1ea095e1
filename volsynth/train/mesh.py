"""Devices and shardings: the batch is split over the mesh's `data` axis, the state is on all."""

from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from volsynth.errors import UserError


def make(config: Any, batch_size: int) -> Mesh:
    """The mesh that `config.mesh` asks for.

    Args:
      config: the section, with `data`: how many devices share a batch; -1 for all.
      batch_size: examples in one batch, over all devices.

    Raises:
      UserError: there are fewer devices, or the batch is empty or does not divide by them.
    """
    if batch_size < 1:
        raise UserError(f"config.train.batch_size must be at least 1, got {batch_size}.")
    available = len(jax.devices())
    count = available if config.data == -1 else config.data
    if not 1 <= count <= available:
        raise UserError(
            f"config.mesh.data: {config.data} devices asked for, {available} available. "
            f"Allowed: 1 to {available}, or -1 for all."
        )
    if batch_size % count:
        raise UserError(
            f"config.train.batch_size: {batch_size} examples do not divide by {count} devices; "
            f"choose a multiple of {count}, or set config.mesh.data."
        )
    return jax.make_mesh(
        (count,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:count]
    )


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batched(mesh: Mesh) -> NamedSharding:
    """The first axis split over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))
