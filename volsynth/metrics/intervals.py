"""Confidence intervals of means over a data set, by a bootstrap over persons.

Pictures of one person are alike, so they are no independent samples: whole persons are drawn, with
replacement, and each brings all of its pictures (a cluster bootstrap; Davison and Hinkley 1997,
section 3.8). An interval says what other persons would have changed, not what another seed of the
training would have.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

LEVEL = 0.95
SAMPLES = 2000

PROTOCOL: dict[str, Any] = {
    "method": "bootstrap over persons, percentiles",
    "level": LEVEL,
    "samples": SAMPLES,
    "seed": 0,
}
"""How intervals are found, as JSON values."""


class Persons:
    """Draws of persons, the same for every score, so that differences of scores are paired.

    Attributes:
      count: of different persons.
    """

    def __init__(self, persons: Sequence[str], samples: int = SAMPLES, seed: int = 0) -> None:
        """Draws once.

        Args:
          persons: whose each of the N pictures is.
          samples: how often all persons are drawn anew.
          seed: of the draws.
        """
        names, self._of_picture = np.unique(np.asarray(persons), return_inverse=True)
        self.count = len(names)
        rng = np.random.Generator(np.random.Philox(key=[seed, self.count]))
        shares = np.full(self.count, 1 / max(self.count, 1))
        self._draws: Int[np.ndarray, "S P"] = rng.multinomial(self.count, shares, size=samples)

    def means(
        self, values: Float[np.ndarray, "N"], counted: Bool[np.ndarray, "N"]
    ) -> Float64[np.ndarray, "S"]:
        """The mean of the values that count, of every draw; NaN where a draw has none.

        Raises:
          ValueError: the values are not those of these pictures.
        """
        if values.shape != self._of_picture.shape or counted.shape != values.shape:
            raise ValueError(
                f"Persons.means: values and counted must have shape {self._of_picture.shape}, got "
                f"{values.shape} and {counted.shape}."
            )
        kept = np.where(counted, values.astype(np.float64), 0.0)
        totals = np.bincount(self._of_picture, kept, self.count)
        counts = np.bincount(self._of_picture, counted, self.count)
        with np.errstate(invalid="ignore"):
            return (self._draws @ totals) / (self._draws @ counts)

    def interval(
        self, values: Float[np.ndarray, "N"], counted: Bool[np.ndarray, "N"]
    ) -> tuple[float, float] | None:
        """The interval of the mean; None where fewer than two persons have a value, or with NaN."""
        means = self.means(values, counted)
        return interval(means) if len(np.unique(self._of_picture[counted])) > 1 else None


def interval(means: Float[np.ndarray, "S"]) -> tuple[float, float] | None:
    """The middle `LEVEL` of the means of draws, those without a picture left out; None where no
    value is finite enough to say."""
    known = means[~np.isnan(means)]
    # A picture whose score is NaN spoils most of the draws, and is not to be passed over.
    if len(known) < 0.5 * len(means) or not np.all(np.isfinite(known)):
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
