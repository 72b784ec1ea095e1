"""Fréchet distances of two sets of pictures, in the features of a network (Heusel et al. 2017).

A state gathers features batch by batch, on the host and in float64: a covariance loses in float32
what the distance between two good sets consists of. So nothing here passes through `jax.jit`; what
pays on a device is the network. Rows with `valid == False` are padding and are never read.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.linalg
from jaxtyping import Array, Bool, Float, Float64

from volsynth.errors import UserError
from volsynth.metrics.set_features import BUILTIN, INCEPTION
from volsynth.pretrained import inception

_FRECHET = {
    "better": "lower",
    "distance": "squared Fréchet distance of two Gaussians",
    "covariance": "divided by the number of images less one",
    "arithmetic": "float64; square roots by eigenvalues",
}

PROTOCOL: Mapping[str, Mapping[str, Any]] = {
    "fid": {**_FRECHET, **INCEPTION, "features": f"the {inception.POOLED} of the last pool"},
    "frechet_builtin": {**_FRECHET, **BUILTIN},
}
"""The protocol of each distance of this module: how it is computed, as JSON values."""


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureState:
    """Mean and covariance of the features of all images seen so far.

    Attributes:
      count: number of images.
      mean: mean of their features.
      scatter: sum over the images of the outer product of their deviation from the mean.
    """

    count: int
    mean: Float64[np.ndarray, "D"]
    scatter: Float64[np.ndarray, "D D"]

    @classmethod
    def empty(cls, size: int) -> "FeatureState":
        """The state before the first image; merging with it changes nothing.

        Args:
          size: number of features of an image.
        """
        return cls(0, np.zeros(size), np.zeros((size, size)))

    def update(
        self,
        features: Float[Array, "B D"] | Float[np.ndarray, "B D"],
        valid: Bool[Array, "B"] | Bool[np.ndarray, "B"],
    ) -> "FeatureState":
        """The state with the valid rows of one more batch.

        A NaN in a valid row makes every distance NaN.

        Raises:
          ValueError: the shapes do not fit.
        """
        if features.ndim != 2 or features.shape != (*valid.shape, *self.mean.shape):
            raise ValueError(
                f"FeatureState.update: features must have shape [B, {self.mean.size}] and valid"
                f" [B], got {features.shape} and {valid.shape}."
            )
        rows = np.asarray(features, np.float64)[np.asarray(valid)]
        if not len(rows):
            return self
        mean = np.mean(rows, axis=0)
        # Infinity minus infinity is NaN; `frechet` relies on that and needs no warning about it.
        with np.errstate(invalid="ignore"):
            deviations = rows - mean
            return self.merge(FeatureState(len(rows), mean, deviations.T @ deviations))

    def merge(self, other: "FeatureState") -> "FeatureState":
        """The state of the images of both; up to rounding, the order does not matter.

        The update is that of Chan, Golub and LeVeque (1983).

        Raises:
          ValueError: they have different numbers of features.
        """
        if self.mean.shape != other.mean.shape:
            raise ValueError(
                f"FeatureState.merge: both must have the same number of features, got"
                f" {self.mean.size} and {other.mean.size}."
            )
        # Not only for speed: two empty states would divide by a count of zero below.
        if not self.count or not other.count:
            return self if self.count else other
        count = self.count + other.count
        step = other.mean - self.mean
        scatter = self.scatter + other.scatter
        # Deviations from each own mean, corrected by the distance of the means: a plain sum of
        # squares would cancel for features that are far from zero.
        scatter += np.outer(step, step * (self.count * other.count / count))
        return FeatureState(count, self.mean + step * (other.count / count), scatter)


def frechet(a: FeatureState, b: FeatureState) -> float:
    """Squared Fréchet distance of two sets, each taken as a Gaussian (Heusel et al. 2017).

    |mean_a - mean_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2) of the covariances A and B. With fewer
    images than features it is biased upward; sets of different sizes are not to be compared.

    Returns:
      At least 0; NaN where a feature was not finite.

    Raises:
      ValueError: the sets have different numbers of features.
      UserError: a set has less than two images.
    """
    if a.mean.shape != b.mean.shape:
        raise ValueError(
            f"frechet: both sets must have the same number of features, got {a.mean.size} and"
            f" {b.mean.size}."
        )
    if min(a.count, b.count) < 2:
        raise UserError(
            f"a Fréchet distance needs at least 2 images in each set, got {a.count} and {b.count}."
        )
    # The decompositions below raise on values that are not finite, or do not end.
    if not all(np.all(np.isfinite(state.scatter)) for state in (a, b)):
        return float("nan")
    # The square roots of the eigenvalues of A^1/2 B A^1/2 are the singular values of any root of A
    # times one of B. Computed in this way, rounding errors do not get under a square root, where
    # they would grow.
    shared = np.sum(scipy.linalg.svdvals(_root(a).T @ _root(b)))
    spread = sum(np.trace(state.scatter) / (state.count - 1) for state in (a, b))
    # Rounding can put the distance of equal sets below zero.
    return float(max(0.0, np.sum((a.mean - b.mean) ** 2) + spread - 2 * shared))


def _root(state: FeatureState) -> Float64[np.ndarray, "D _"]:
    """A matrix R with R R^T the covariance, and no more columns than its rank can be."""
    values, vectors = np.linalg.eigh(state.scatter / (state.count - 1))
    # The deviations of n images span at most n - 1 directions. Eigenvalues beyond these are
    # rounding, and would only cost time.
    rank = min(len(values), state.count - 1)
    return vectors[:, -rank:] * np.sqrt(np.maximum(values[-rank:], 0.0))
