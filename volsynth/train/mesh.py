"""The mesh of devices, and how arrays are split over it.

The mesh has two axes. Examples of a batch are split over `data`; the height of images, and with it
that of every volume and feature map, over `space`: volumes are what does not fit one device. XLA
follows both through the program and inserts the exchanges between devices. The state is on all
devices; or each holds its share, and gives it to the others when they need it.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from volsynth import fields
from volsynth.errors import UserError

AXES = ("data", "space")
"""Names of the axes of the mesh."""

SMALL = 2**14
"""Number of values below which an array of the state is on all devices in any case."""


def make(config: Any, batch_size: int, height: int) -> Mesh:
    """The mesh that `config.mesh` asks for.

    Args:
      config: the section `mesh`: `data`, how many devices, or groups of them, share a batch, -1 for
        as many as there are; `space`, how many devices share the height of an image.
      batch_size: examples in one batch, over all devices.
      height: rows of the coarsest feature map that devices may share: the image's height divided
        by `System.coarsest_stride`.

    Raises:
      UserError: there are fewer devices, or batch or height do not divide by them.
    """
    if batch_size < 1:
        raise UserError(f"config.train.batch_size must be at least 1, got {batch_size}.")
    available = len(jax.devices())
    space = config.space
    if not 1 <= space <= available:
        raise UserError(
            f"config.mesh.space: {space} devices asked for, {available} available. "
            f"Allowed: 1 to {available}."
        )
    if height % space:
        raise UserError(
            f"config.mesh.space: the height of the coarsest features, {height}, does not divide by "
            f"{space} devices; choose a divisor of it."
        )
    most = available // space
    count = most if config.data == -1 else config.data
    if not 1 <= count <= most:
        groups = "" if space == 1 else f" in groups of {space} (config.mesh.space)"
        raise UserError(
            f"config.mesh.data: {config.data} devices asked for, {most} available{groups}. "
            f"Allowed: 1 to {most}, or -1 for all."
        )
    if batch_size % count:
        raise UserError(
            f"config.train.batch_size: {batch_size} examples do not divide by {count} devices; "
            f"choose a multiple of {count}, or set config.mesh.data."
        )
    used = count * space
    # A process without a device in the mesh would have no part of any array.
    if used < available and jax.process_count() > 1:
        raise UserError(
            f"config.mesh: {used} of {available} devices would be used; with several processes it "
            "must be all. Set config.mesh.data to -1."
        )
    # Auto: XLA chooses the shardings of intermediate arrays; with explicit axes every operation
    # would have to name them.
    return jax.make_mesh(
        (count, space), AXES, axis_types=(AxisType.Auto,) * 2, devices=jax.devices()[:used]
    )


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of an array that is whole on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_shardings(mesh: Mesh, batch: Any) -> dict[str, NamedSharding]:
    """Shardings of the arrays of a batch: examples are split, and the height of images.

    Whether a field is an image is looked up in `volsynth.fields.BATCH`; fields that are not there
    are split by examples alone.
    """
    return {key: NamedSharding(mesh, _partition(key)) for key in batch}


def _partition(name):
    field = fields.BATCH.get(name)
    if field is None or not field.is_picture:
        return PartitionSpec("data")
    # Frames of a clip, where there are any, come before the rows.
    return PartitionSpec("data", *(None,) * (field.rows_axis - 1), "space")


def local_rows(mesh: Mesh, batch_size: int) -> slice:
    """The slice of a global batch with the examples that the devices of this process work on."""
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    found = sharding.addressable_devices_indices_map((batch_size,)).values()
    # A slice without bounds, where there is one device, has none to compare.
    ranges = [index.indices(batch_size) for (index,) in found]
    return slice(min(start for start, _, _ in ranges), max(stop for _, stop, _ in ranges))


def to_devices(mesh: Mesh, batch: Any, batch_size: int) -> dict[str, jax.Array]:
    """Copies a batch to the devices, split over them.

    Args:
      mesh: the mesh of devices.
      batch: the `local_rows` of the global batch, which this process has read.
      batch_size: examples in the global batch.
    """
    first = local_rows(mesh, batch_size).start

    def cut(values, index):
        # The index is that of the global array, of which this process has some rows alone.
        rows = slice(*index[0].indices(batch_size)[:2])
        return values[(slice(rows.start - first, rows.stop - first), *index[1:])]

    return {
        key: jax.make_array_from_callback(
            (batch_size, *batch[key].shape[1:]), sharding, functools.partial(cut, batch[key])
        )
        for key, sharding in batch_shardings(mesh, batch).items()
    }


def state_shardings(mesh: Mesh, shapes: Any, shard: bool) -> Any:
    """Shardings of the arrays of a state: all on every device, or large arrays split over them.

    Args:
      mesh: the mesh of devices.
      shapes: a pytree of arrays or of what `jax.eval_shape` returns.
      shard: whether large arrays are split, along their longest axis that divides by all devices.

    Returns:
      A pytree like `shapes`, with a sharding for every leaf.
    """

    def sharding(leaf):
        axes = [i for i, n in enumerate(leaf.shape) if n % mesh.size == 0]
        if not shard or math.prod(leaf.shape) < SMALL or not axes:
            return replicated(mesh)
        longest = max(axes, key=lambda i: leaf.shape[i])
        return NamedSharding(mesh, PartitionSpec(*(None,) * longest, AXES))

    return jax.tree.map(sharding, shapes)


def traced_on(mesh: Mesh, function: Callable) -> Callable:
    """The function, traced where `gathered` and operators that split their work see the mesh."""

    def traced(*args):
        # Inside of the function, and not around the call: jit traces when it is first called.
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return function(*args)

    return traced


def gathered(tree: Any) -> Any:
    """The tree with every array on all devices, and its gradient too; unchanged without a mesh.

    Otherwise XLA would split a convolution as its split parameters suggest, by channels.
    """
    if jax.sharding.get_abstract_mesh().empty:
        return tree
    return jax.lax.with_sharding_constraint(tree, PartitionSpec())
