"""The arguments of a call of an exported model, checked and put together as a batch."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from volsynth import fields
from volsynth.errors import UserError
from volsynth.system import Batch


def look_at_two(inputs: Sequence[str]) -> bool:
    """Whether a model with these inputs looks at two pictures of a person."""
    return f"{fields.ALSO}_image" in inputs


def batch(
    inputs: Sequence[str],
    wanted: Mapping[str, jax.ShapeDtypeStruct],
    image: Any,
    source_pose: Any,
    target_pose: Any,
    also: Any,
) -> Batch:
    """The batch for a model, as NumPy arrays of the dtypes that it takes.

    Args:
      inputs: names of the fields that the model takes.
      wanted: shapes and dtypes of these fields, of one example.
      image: as for `exported_model.Model.__call__`, like the others.
      source_pose: joints and visibility, or None.
      target_pose: joints and visibility, or None.
      also: further images and their poses, or None.

    Raises:
      UserError: an array is missing, or not of the shape or the range that it should have.
    """
    if tuple(inputs) == ("target_image",) and not source_pose is target_pose is None:
        raise UserError("this model finds poses: it takes an image and nothing else.")
    if also is not None and not look_at_two(inputs):
        raise UserError("this model looks at one picture of the person: leave out `also`.")
    # A model that finds poses does so in the picture of the target.
    given = {"source_image" if "source_image" in inputs else "target_image": image}
    poses = [("source", source_pose), ("target", target_pose)]
    if look_at_two(inputs):
        # Who has one picture shows it twice, as in a part of the training.
        shown = (image, source_pose) if also is None else also
        given[f"{fields.ALSO}_image"], pose = _pair_of(shown, "also", "(images, pose)")
        poses.append((fields.ALSO, pose))
    for role, pose in poses:
        if pose is not None:
            pair = _pair_of(pose, f"{role}_pose", "(joints, visible)")
            given[f"{role}_joints"], given[f"{role}_visible"] = pair
    # Given to a program, arrays of another shape would end in an error of many lines.
    checked = {}
    for name in inputs:
        if name not in given:
            raise UserError(f"{name} is missing; this model takes {', '.join(inputs)}.")
        checked[name] = _checked(name, given[name], wanted[name])
    counts = {name: len(value) for name, value in checked.items()}
    if len(set(counts.values())) > 1:
        raise UserError(f"all arrays must have the same length, got {counts}.")
    return checked


def _pair_of(values, name, what):
    """The two of a pair, or a UserError."""
    try:
        one, other = values
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} must be a pair {what}.") from error
    return one, other


def _checked(name, value, wanted):
    """A field of a batch as a NumPy array of its dtype, or a UserError."""
    try:
        value = np.asarray(value)
    except ValueError as error:
        raise UserError(f"{name} is no array: {error}.") from error
    shape = wanted.shape[1:]
    if value.shape[1:] != shape or value.ndim != len(shape) + 1 or not len(value):
        sizes = ", ".join(map(str, shape))
        raise UserError(f"{name} must have the shape [B, {sizes}], got {list(value.shape)}.")
    if wanted.dtype == np.bool_:
        # 0 and 1 are common in files of poses.
        if not np.all((value == 0) | (value == 1)):
            raise UserError(f"{name} must be true or false, got other values.")
        return value.astype(bool)
    # By JAX: to NumPy bfloat16 has no kind "f".
    kind, word = (
        (jnp.floating, "floats")
        if jnp.issubdtype(wanted.dtype, jnp.floating)
        else (jnp.integer, "integers")
    )
    if not jnp.issubdtype(value.dtype, kind):
        raise UserError(f"{name} must be {word}, got {value.dtype}.")
    if kind is jnp.floating and not np.all(np.isfinite(value.astype(np.float32))):
        raise UserError(f"{name} holds values that are not finite.")
    # The mistake to find is pixels from 0 to 255; errors of rounding are none.
    low, high, field = np.min(value), np.max(value), fields.find(name)
    if (field.low is not None and low < field.low - 1e-3) or (
        field.high is not None and high > field.high + 1e-3
    ):
        raise UserError(
            f"{name} must lie in [{field.low:g}, {field.high:g}], got values from {float(low):g} "
            f"to {float(high):g}."
        )
    return value.astype(wanted.dtype)
