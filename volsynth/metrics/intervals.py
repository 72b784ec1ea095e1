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
"""Share of the means of draws that lies inside an interval."""

SAMPLES = 2000
"""The number of times that all persons are drawn anew, with replacement."""

PROTOCOL: dict[str, Any] = {
    "method": "bootstrap over persons, percentiles",
    "level": LEVEL,
    "samples": SAMPLES,
    "seed": 0,
}
"""The protocol of intervals: how they are computed, as JSON values."""


class PersonDraws:
    """Draws of persons, the same for every score, so that differences of scores are paired.

    Attributes:
      count: number of different persons.
    """

    def __init__(self, persons: Sequence[str], samples: int = SAMPLES, seed: int = 0) -> None:
        """Draws all persons anew, with replacement, `samples` times.

        Args:
          persons: name of the person on each of the N pictures.
          samples: number of draws.
          seed: seed of the draws.
        """
        # Sorted names, so that the draws do not depend on the order of the pictures.
        names, self._of_picture = np.unique(np.asarray(persons), return_inverse=True)
        self.count = len(names)
        # The stream depends on the seed and the number of persons alone: two methods, scored at
        # different times, get the same draws, so that their differences are paired.
        rng = np.random.Generator(np.random.Philox(key=[seed, self.count]))
        shares = np.full(self.count, 1 / max(self.count, 1))
        # How often each draw has each person is all that a mean needs, and far smaller than lists.
        self._draws: Int[np.ndarray, "S P"] = rng.multinomial(self.count, shares, size=samples)

    def means(
        self, values: Float[np.ndarray, "N"], counted: Bool[np.ndarray, "N"]
    ) -> Float64[np.ndarray, "S"]:
        """The mean over each draw of the values that count; NaN where a draw has none.

        Raises:
          ValueError: the values are not those of these pictures.
        """
        if values.shape != self._of_picture.shape or counted.shape != values.shape:
            raise ValueError(
                f"PersonDraws.means: values and counted must have shape {self._of_picture.shape}, "
                f"got {values.shape} and {counted.shape}."
            )
        kept = np.where(counted, values.astype(np.float64), 0.0)
        totals = np.bincount(self._of_picture, kept, self.count)
        counts = np.bincount(self._of_picture, counted, self.count)
        # A draw without any value is 0 / 0, the NaN that is announced above.
        with np.errstate(invalid="ignore"):
            return (self._draws @ totals) / (self._draws @ counts)

    def interval(
        self, values: Float[np.ndarray, "N"], counted: Bool[np.ndarray, "N"]
    ) -> tuple[float, float] | None:
        """The interval of the mean of the values that count.

        Returns:
          (low, high); None where fewer than two persons have a value, or where a value is NaN.

        Raises:
          ValueError: the values are not those of these pictures.
        """
        means = self.means(values, counted)
        return interval(means) if len(np.unique(self._of_picture[counted])) > 1 else None


def interval(means: Float[np.ndarray, "S"]) -> tuple[float, float] | None:
    """The range of the middle `LEVEL` of the means of draws.

    Args:
      means: the mean of each draw; draws without a picture are NaN and are left out.

    Returns:
      (low, high); None where a mean is infinite, or half of them or more are NaN.
    """
    known = means[~np.isnan(means)]
    # A picture whose score is NaN spoils most of the draws, and is not to be passed over.
    if len(known) < 0.5 * len(means) or not np.all(np.isfinite(known)):
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
