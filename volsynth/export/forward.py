"""The forward pass of a system for export: a pure function of arrays by name."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from volsynth import fields, tasks
from volsynth.system import (
    PARAMS,
    Batch,
    System,
    Variables,
    averaged_networks,
    evaluation_context,
)
from volsynth.tasks.base import Prediction
from volsynth.train import liveness

PLATFORMS = ("cpu", "cuda", "tpu")
"""The platforms on which an exported program runs."""

Layout = Mapping[str, tuple[int, ...]]
"""The shape of every exported array by its name."""


def by_name(variables: Variables) -> dict[str, Any]:
    """The leaves of variables under names such as "generator/encoder/Conv_0/kernel".

    States have the name of their collection behind the network's; parameters have none there.

    Args:
      variables: {network: {collection: tree}}.
    """
    leaves = jax.tree_util.tree_flatten_with_path(variables)[0]
    return {_name([key.key for key in path]): leaf for path, leaf in leaves}


def _name(path):
    network, collection, *rest = path
    # "params" is left out, as it would stand in almost every name.
    return "/".join([network, *rest] if collection == PARAMS else [network, collection, *rest])


def variable_shapes(system: System, image_size: int) -> Variables:
    """Shapes and dtypes of the variables that are exported: those with running averages.

    Args:
      system: the system.
      image_size: side of the images, pixels.
    """
    batch = system.batch_spec(1, image_size)
    shapes = jax.eval_shape(system.init, jax.random.key(0), batch)
    return {name: shapes[name] for name in averaged_networks(system, shapes)}


def from_names(shapes: Variables, parameters: Mapping[str, jax.Array]) -> Variables:
    """Variables from arrays by name: the inverse of `by_name`.

    Args:
      shapes: shapes and dtypes of the variables.
      parameters: arrays by name.
    """
    # Files hold float32 alone: states of other types, such as counts, are converted back.
    leaves = [parameters[name].astype(leaf.dtype) for name, leaf in by_name(shapes).items()]
    return jax.tree.unflatten(jax.tree.structure(shapes), leaves)


def forward(
    system: System, image_size: int
) -> tuple[Callable[[Mapping[str, jax.Array], Batch], Prediction], Layout]:
    """The forward pass of the averaged networks, outside of training.

    Args:
      system: the system.
      image_size: side of the images, S pixels.

    Returns:
      A pure function (parameters, batch) -> prediction of the system's task, where parameters are
      arrays by name and inputs that the batch lacks are zero; and the shapes of the parameters.
    """
    shapes = variable_shapes(system, image_size)
    select = tasks.TASKS[system.task].select

    def run(parameters, batch):
        count = next(iter(batch.values())).shape[0]
        # Some systems look at the shapes of fields whose values they do not use.
        whole = system.batch_spec(count, _side(batch, image_size))
        empty = {name: jnp.zeros(value.shape, value.dtype) for name, value in whole.items()}
        variables = from_names(shapes, parameters)
        outputs, _ = system.forward(variables, {**empty, **batch}, evaluation_context())
        return select(outputs)

    return run, {name: tuple(leaf.shape) for name, leaf in by_name(shapes).items()}


def _side(batch, usual):
    """The side of the pictures in a batch, the usual one if it has none."""
    pictures = (n for n in batch if fields.BATCH[n].is_picture)
    return next((batch[n].shape[fields.BATCH[n].rows_axis] for n in pictures), usual)


def used_inputs(system: System, image_size: int) -> tuple[str, ...]:
    """The names of the fields of a batch on which the prediction depends, in alphabetical order.

    Args:
      system: the system.
      image_size: side of the images, S pixels.
    """
    # Found by tracing and not declared: `System.inputs` are those of training, losses included.
    run, layout = forward(system, image_size)
    parameters = {name: jax.ShapeDtypeStruct(shape, np.float32) for name, shape in layout.items()}
    batch = system.batch_spec(1, image_size)
    used = liveness.used_arguments(run, parameters, batch)
    # Leaves are in the order of the pytree: of a dict, that of its sorted names.
    return tuple(name for name, is_used in zip(sorted(batch), used[len(parameters) :]) if is_used)


def is_estimator(task: str, inputs: tuple[str, ...]) -> bool:
    """Whether a model finds poses in images, judged by its task and the inputs that it uses.

    A network that lifts 2D joints to 3D has the task "pose", too; but it would be given the true
    joints of the images that are to be scored, and find every one of them perfect.

    Args:
      task: the task of the system.
      inputs: the result of `used_inputs`.
    """
    return task == "pose" and inputs == ("target_image",)


def serialise(system: System, image_size: int, inputs: tuple[str, ...]) -> bytes:
    """The forward pass for every platform and any batch size, serialised by `jax.export`.

    Of a system with a `size_step` it takes pictures of any side that is a multiple of it, from
    `image_size` on.

    Args:
      system: the system whose averaged networks run.
      image_size: side of the images, S pixels; a multiple of the system's step.
      inputs: names of the fields of a batch that the program takes.
    """
    run, layout = forward(system, image_size)
    parameters = {name: jax.ShapeDtypeStruct(shape, np.float32) for name, shape in layout.items()}
    count, side = _symbols(system.size_step, image_size)
    spec = system.batch_spec(count, side)
    batch = {name: value for name, value in spec.items() if name in inputs}
    with _no_paths():
        exported = jax.export.export(jax.jit(run), platforms=PLATFORMS)(parameters, batch)
        return bytes(exported.serialize())


def _symbols(size_step, image_size):
    """The batch size as a symbol, and the images' side, a symbol where it may be any."""
    if not size_step:
        return *jax.export.symbolic_shape("b"), image_size
    # A multiple by construction: what is divided by the step is then known to leave no remainder.
    least = f"s >= {image_size // size_step}"
    return jax.export.symbolic_shape(f"b, {size_step}*s", constraints=(least,))


@contextlib.contextmanager
def _no_paths():
    """Lets programs name the files of their source code without the folders of this machine."""
    key = "jax_hlo_source_file_canonicalization_regex"
    before = getattr(jax.config, key)
    jax.config.update(key, ".*/")
    try:
        yield
    finally:
        jax.config.update(key, before)
