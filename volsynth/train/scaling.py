"""Dynamic loss scaling (seed 000, sections 2.4 and 6.2.3).

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
    """How a scale moves.

    Attributes:
      initial: the scale to start with.
      minimum: it does not fall below; a run in which it should is stopped by `max_skipped`.
      maximum: it does not grow above.
      doubles_every: updates without overflow in which it doubles, by the same factor each; zero
        keeps it as it is, whatever happens.
    """

    initial: float = 1.0
    minimum: float = 1.0
    maximum: float = 1.0
    doubles_every: int = 0

    def next(self, scale: Float[Array, ""], finite: Bool[Array, ""]) -> Float[Array, ""]:
        """The scale after an update: divided by sqrt(2) if it was not finite."""
        if not self.doubles_every:
            return scale
        factor = jnp.where(finite, 2 ** (1 / self.doubles_every), 1 / math.sqrt(2))
        return jnp.clip(scale * factor.astype(scale.dtype), self.minimum, self.maximum)

    def start(self) -> jax.Array:
        """A float32 scalar."""
        return jnp.asarray(self.initial, jnp.float32)


UNSCALED = LossScaling()
"""One, for good."""


def make(precision: str, config: Any) -> LossScaling:
    """Scaling for float16; bfloat16 has the range of float32, and both stay at 1.

    Args:
      precision: what the networks compute in.
      config: the section `train.loss_scale`, the attributes of `LossScaling`.

    Raises:
      UserError: a value is out of range.
    """
    name = "config.train.loss_scale"
    if config.doubles_every < 1:
        raise UserError(f"{name}.doubles_every must be at least 1, got {config.doubles_every}.")
    if not 0 < config.minimum <= config.initial <= config.maximum:
        raise UserError(
            f"{name}: 0 < minimum <= initial <= maximum must hold, got {config.minimum}, "
            f"{config.initial} and {config.maximum}."
        )
    return LossScaling(**config) if precision == "float16" else UNSCALED
