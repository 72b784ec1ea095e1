"""Dynamic loss scaling for half precision (Knoche 2019, sections 2.4 and 6.2.3).

Gradients of half precision vanish below 6e-8 and overflow above 65504. A player's loss is
multiplied by its scale before it is differentiated, and its gradients are divided by it again in
float32. The scale grows a little with every update until a gradient overflows.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from volsynth.errors import UserError


@dataclasses.dataclass(frozen=True)
class LossScaling:
    """The rule by which the scale of a loss moves.

    Attributes:
      initial: the scale at the start.
      minimum: the smallest scale; a run that would need a smaller one is stopped by `max_skipped`.
      maximum: the largest scale.
      doubles_every: number of updates without overflow in which the scale doubles, growing by the
        same factor in each; 0 for a constant scale.
    """

    initial: float = 1.0
    minimum: float = 1.0
    maximum: float = 1.0
    doubles_every: int = 0

    def next(self, scale: Float[Array, ""], finite: Bool[Array, ""]) -> Float[Array, ""]:
        """The scale after an update: larger if the update was finite, else divided by sqrt(2)."""
        if not self.doubles_every:
            return scale
        # A little with every update rather than by 2 at once: it stays near the largest scale that
        # does not overflow, with few skipped updates.
        factor = jnp.where(finite, 2 ** (1 / self.doubles_every), 1 / math.sqrt(2))
        return jnp.clip(scale * factor.astype(scale.dtype), self.minimum, self.maximum)

    def start(self) -> jax.Array:
        """The scale at the start, a float32 scalar."""
        return jnp.asarray(self.initial, jnp.float32)


UNSCALED = LossScaling()
"""The rule without scaling: the scale is 1 and stays so."""


def make(precision: str, config: Any) -> LossScaling:
    """The rule for a precision: scales that move for float16, else 1.

    bfloat16 has the range of float32, and needs no scaling.

    Args:
      precision: the type in which the networks compute, `config.precision`.
      config: the section `train.loss_scale` with the attributes of `LossScaling`.

    Raises:
      UserError: a value is out of range.
    """
    name = "config.train.loss_scale"
    # Checked for every precision: a mistake should not show only when half is tried.
    if config.doubles_every < 1:
        raise UserError(f"{name}.doubles_every must be at least 1, got {config.doubles_every}.")
    if not 0 < config.minimum <= config.initial <= config.maximum:
        raise UserError(
            f"{name}: 0 < minimum <= initial <= maximum must hold, got {config.minimum}, "
            f"{config.initial} and {config.maximum}."
        )
    return LossScaling(**config) if precision == "float16" else UNSCALED
