"""The Inception score of a set of pictures: how clear and how varied their classes are.

Salimans et al. 2016. A state gathers the probabilities of classes batch by batch, on the host and
in float64; nothing here passes through `jax.jit`. Rows with `valid == False` are padding and are
never read.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.special
from jaxtyping import Array, Bool, Float, Float64, Int

from volsynth.errors import UserError
from volsynth.metrics.set_features import BUILTIN, INCEPTION
from volsynth.pretrained import inception

SPLITS = 10
"""Number of parts of a set that are scored one by one (Salimans et al. 2016)."""

# How far the sum of the probabilities of one image may be from 1: a softmax in float32 is rounded,
# and logits given by mistake are much farther away.
_SUM_TOLERANCE = 1e-3

_SCORE = {
    "better": "higher",
    "splits": SPLITS,
    "split": "consecutive images; split k begins at the floor of k times images over splits",
    "score": "exp of the mean divergence of an image's classes from those of its split",
    "over_splits": "mean, and standard deviation with the number of splits as divisor",
}

PROTOCOL: Mapping[str, Mapping[str, Any]] = {
    "inception_score": {
        **_SCORE,
        **INCEPTION,
        "classes": f"softmax over {inception.CLASSES} outputs, without the bias of the last layer",
    },
    "diversity_builtin": {**_SCORE, **BUILTIN, "classes": "softmax over the features"},
}
"""The protocol of each score of this module: how it is computed, as JSON values."""


@dataclasses.dataclass(frozen=True, eq=False)
class ClassState:
    """Sums over the class probabilities of all images seen so far, for an Inception score.

    Which split an image belongs to depends on its place in the set and on the size of the set, so
    the state is told both. Then batches may come in any order.

    Attributes:
      images: number of images of the whole set.
      counts: number of images seen, by split.
      totals: sum of their probabilities, by split.
      information: sum over them of sum p log p, by split.
    """

    images: int
    counts: Int[np.ndarray, "S"]
    totals: Float64[np.ndarray, "S C"]
    information: Float64[np.ndarray, "S"]

    @classmethod
    def empty(cls, images: int, classes: int, splits: int = SPLITS) -> "ClassState":
        """The state before the first image.

        Args:
          images: number of images that the whole set will have.
          classes: number of classes.
          splits: number of parts of consecutive images, each scored by itself.

        Raises:
          UserError: there are no splits, or some would have no image.
        """
        if not 1 <= splits <= images:
            raise UserError(
                f"an Inception score of {splits} splits needs at least one split, and an image for"
                f" each; got {images} images. Take more images, or fewer splits."
            )
        counts = np.zeros(splits, np.int64)
        return cls(images, counts, np.zeros((splits, classes)), np.zeros(splits))

    def update(
        self,
        probabilities: Float[Array, "B C"] | Float[np.ndarray, "B C"],
        place: Int[Array, "B"] | Int[np.ndarray, "B"],
        valid: Bool[Array, "B"] | Bool[np.ndarray, "B"],
    ) -> "ClassState":
        """The state with the valid rows of one more batch; a NaN in one makes the score NaN.

        Args:
          probabilities: of the classes, for every image.
          place: index of every image in its set, from 0.
          valid: False for rows that are padding; neither their place nor anything else is read.

        Raises:
          ValueError: the shapes do not fit, a place is outside of the set, or the probabilities of
            an image are negative or do not add up to 1.
        """
        self._check_shapes(probabilities, place, valid)
        valid = np.asarray(valid)
        rows, place = np.asarray(probabilities, np.float64)[valid], np.asarray(place)[valid]
        sums = np.sum(rows, axis=1, keepdims=True)
        self._check_values(rows, sums, place)
        # Otherwise a sum that is not quite 1 would add its error times the logarithm of the number
        # of classes.
        rows = rows / sums
        splits = len(self.counts)
        split = np.searchsorted(_starts(self.images, splits), place, side="right") - 1
        which = np.arange(splits)[:, None] == split[None, :]
        # Selected rather than multiplied with `which`: 0 * NaN would reach the other splits.
        parts = [rows[mine] for mine in which]
        return ClassState(
            self.images,
            self.counts + np.sum(which, axis=1),
            self.totals + np.stack([np.sum(part, axis=0) for part in parts]),
            self.information + np.stack([np.sum(scipy.special.xlogy(p, p)) for p in parts]),
        )

    def result(self) -> tuple[float, float]:
        """The mean Inception score of the set's parts, and its standard deviation over them.

        Returns:
          A mean from 1 (all images alike, or every image undecided) to the number of classes, and
          the deviation.

        Raises:
          ValueError: not every image was seen once.
        """
        wanted = np.diff([*_starts(self.images, len(self.counts)), self.images])
        if np.any(self.counts != wanted):
            raise ValueError(
                f"inception_score: every image must be seen once; the splits have {wanted.tolist()}"
                f" images, seen were {self.counts.tolist()}."
            )
        mean = self.totals / self.counts[:, None]
        # The mean over the images of sum p log(p / mean), as the difference of two sums, so that no
        # image has to be kept. `xlogy` is 0 where p is 0.
        divergence = self.information / self.counts - np.sum(scipy.special.xlogy(mean, mean), 1)
        scores = np.exp(np.maximum(divergence, 0.0))
        return float(np.mean(scores)), float(np.std(scores))

    def _check_shapes(self, probabilities, place, valid):
        size = self.totals.shape[1]
        if not valid.ndim == 1 or probabilities.shape != (*valid.shape, size):
            raise ValueError(
                f"ClassState.update: probabilities must have shape [B, {size}] and valid [B], got"
                f" {probabilities.shape} and {valid.shape}."
            )
        if place.shape != valid.shape:
            raise ValueError(
                f"ClassState.update: place must have shape {valid.shape}, got {place.shape}."
            )

    def _check_values(self, rows, sums, place):
        outside = place[(place < 0) | (place >= self.images)]
        if outside.size:
            raise ValueError(
                f"ClassState.update: a place is from 0 to {self.images - 1}, got {outside[0]}."
            )
        # Written so that a NaN passes: it is no mistake of the caller.
        if np.any(rows < 0) or np.any(np.abs(sums - 1) > _SUM_TOLERANCE):
            raise ValueError(
                "ClassState.update: probabilities must be at least 0 and add up to 1; are these"
                " logits?"
            )


def _starts(images: int, splits: int) -> Int[np.ndarray, "S"]:
    """The index of the first image of every split."""
    return np.arange(splits) * images // splits
