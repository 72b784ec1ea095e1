"""Means over a data set, gathered batch by batch, on one host or on many.

A batch at the end of a data set is padded to full size: the rows that are padding carry
`valid == False` and never reach a mean, whatever they hold. States are pytrees, so they pass
through `jax.jit`, `jax.lax.scan` and collectives; several scores at once are a dict of states.
"""

from collections.abc import Iterable, Mapping

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float

from volsynth.errors import did_you_mean


@struct.dataclass
class MeanState:
    """A running mean that can be merged with another.

    Attributes:
      total: sum of the valid values, float32 scalar.
      count: how many there were, float32 scalar (exact up to 2^24).
    """

    total: Float[Array, ""]
    count: Float[Array, ""]

    @classmethod
    def empty(cls) -> "MeanState":
        """The mean of nothing, neutral for `merge`."""
        # Two arrays rather than one twice: a donated state must not hold a buffer two times.
        return cls(total=jnp.zeros((), jnp.float32), count=jnp.zeros((), jnp.float32))

    def update(self, values: Float[Array, "B"], valid: Bool[Array, "B"]) -> "MeanState":
        """Adds the valid values of one batch.

        Args:
          values: one score per image, any float dtype; summed in float32.
          valid: False for rows that are padding; their values are not read, even if NaN. A NaN in
            a valid row makes the result NaN.

        Raises:
          ValueError: the two are not vectors of one length.
        """
        if values.ndim != 1 or values.shape != valid.shape:
            raise ValueError(
                f"MeanState.update: values and valid must both have shape [B], "
                f"got {values.shape} and {valid.shape}."
            )
        valid = valid.astype(bool)
        # Not a product with `valid`: 0 * NaN would let a padding row through.
        kept = jnp.where(valid, values.astype(jnp.float32), 0.0)
        return MeanState(
            total=self.total + jnp.sum(kept),
            count=self.count + jnp.sum(valid, dtype=jnp.float32),
        )

    def merge(self, other: "MeanState") -> "MeanState":
        """The mean over what either has seen; up to rounding, order does not matter."""
        return MeanState(total=self.total + other.total, count=self.count + other.count)

    def result(self) -> Float[Array, ""]:
        """The mean; NaN where no valid value was seen, as any number would pass for a score."""
        return jnp.where(self.count > 0.0, self.total / jnp.maximum(self.count, 1.0), jnp.nan)


def start(names: Iterable[str]) -> dict[str, MeanState]:
    """Empty states, one for each score."""
    return {name: MeanState.empty() for name in names}


def update(
    states: Mapping[str, MeanState],
    values: Mapping[str, Float[Array, "B"]],
    valid: Bool[Array, "B"],
) -> dict[str, MeanState]:
    """Adds one batch to every state.

    Args:
      states: score name to state.
      values: score name to one value per image; the same names.
      valid: which rows of the batch are not padding.

    Raises:
      ValueError: the names differ, or values and valid are not vectors of one length.
    """
    _check_names(states, values)
    return {name: state.update(values[name], valid) for name, state in states.items()}


def merge(a: Mapping[str, MeanState], b: Mapping[str, MeanState]) -> dict[str, MeanState]:
    """Merges states score by score.

    Raises:
      ValueError: the names differ.
    """
    _check_names(a, b)
    return {name: state.merge(b[name]) for name, state in a.items()}


def results(states: Mapping[str, MeanState]) -> dict[str, Float[Array, ""]]:
    """The mean of every score; NaN for a score that has seen no valid value."""
    return {name: state.result() for name, state in states.items()}


def _check_names(expected: Mapping[str, object], given: Mapping[str, object]) -> None:
    unknown = sorted(set(given) - set(expected))
    if unknown:
        raise ValueError(f"Unknown score {unknown[0]!r}: {did_you_mean(unknown[0], expected)}")
    missing = sorted(set(expected) - set(given))
    if missing:
        raise ValueError(f"Score {missing[0]!r} is missing; got {', '.join(sorted(given))}.")
