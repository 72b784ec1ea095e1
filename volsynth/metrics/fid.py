"""Scores of a set of pictures as a whole: Fréchet distances, and Inception scores.

Both see pictures through a network: Inception-v3 with the weights of a file, or the built-in
features, whose scores have names of their own, since theirs are other numbers. States are gathered
batch by batch and merge; rows with `valid == False` are padding, and never read. They live on the
host in float64: a covariance loses in float32 what the distance between two good sets consists of.
So they do not pass through `jax.jit`; what pays on a device is the network. `PROTOCOL` says the
same for a reader of the numbers.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.special
from jaxtyping import Array, Bool, Float, Float64, Int

from volsynth.errors import UserError
from volsynth.pretrained import feature_networks, inception

SPLITS = 10
"""Parts of a set that Inception scores are computed of (Salimans et al. 2016)."""

BUILTIN_LAYER = "block5_conv4"

_SUM_TOLERANCE = 1e-3

_INCEPTION = {
    "network": "Inception-v3 of 2015-12-05: average pools without the border, a maximum in the last"
    " block; weights from a file, named by its SHA-256",
    "image_range": [-1.0, 1.0],
    "resize": {
        "size": [inception.SIDE, inception.SIDE],
        "filter": inception.RESIZE,
        "align_corners": False,
        "antialias": False,
    },
}

_BUILTIN = {
    "network": feature_networks.features_name("", [BUILTIN_LAYER]),
    "image_range": [-1.0, 1.0],
    "resize": None,
    "features": f"{BUILTIN_LAYER} after the ReLU, mean over all pixels",
}

_FRECHET = {
    "better": "lower",
    "distance": "squared Fréchet distance of two Gaussians",
    "covariance": "divided by the number of images less one",
    "arithmetic": "float64; square roots by eigenvalues",
}

_SCORE = {
    "better": "higher",
    "splits": SPLITS,
    "split": "consecutive images; split k begins at the floor of k times images over splits",
    "score": "exp of the mean divergence of an image's classes from those of its split",
    "over_splits": "mean, and standard deviation with the number of splits as divisor",
}

PROTOCOL: Mapping[str, Mapping[str, Any]] = {
    "all": {
        "images": "RGB, as float32, neither clipped nor quantised",
        "over_images": "every valid image once; padding rows are left out",
    },
    "fid": {**_FRECHET, **_INCEPTION, "features": f"the {inception.POOLED} of the last pool"},
    "inception_score": {
        **_SCORE,
        **_INCEPTION,
        "classes": f"softmax over {inception.CLASSES} outputs, without the bias of the last layer",
    },
    "frechet_builtin": {**_FRECHET, **_BUILTIN},
    "diversity_builtin": {**_SCORE, **_BUILTIN, "classes": "softmax over the features"},
}
"""How each score is computed, as plain JSON values; printed with every score."""


def builtin_outputs(image: Float[Array, "B H W 3"]) -> dict[str, Float[Array, "B C"]]:
    """ "pool" and "probabilities" as `pretrained.Inception` has them, of the built-in features.

    Args:
      image: RGB in [-1, 1], taken as it is.

    Raises:
      UserError: the images are too small for the layer.
    """
    features = feature_networks.load_features("", [BUILTIN_LAYER])(image)[BUILTIN_LAYER]
    pool = jnp.mean(features, axis=(1, 2))
    return {"pool": pool, "probabilities": jax.nn.softmax(pool, axis=-1)}


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureState:
    """Mean and covariance of features, of all images seen so far.

    Attributes:
      count: images.
      mean: of the features.
      scatter: sum over the images of the outer product of the deviation from the mean.
    """

    count: int
    mean: Float64[np.ndarray, "D"]
    scatter: Float64[np.ndarray, "D D"]

    @classmethod
    def empty(cls, size: int) -> "FeatureState":
        """No image yet, neutral for `merge`; `size` features each."""
        return cls(0, np.zeros(size), np.zeros((size, size)))

    def update(
        self,
        features: Float[Array, "B D"] | Float[np.ndarray, "B D"],
        valid: Bool[Array, "B"] | Bool[np.ndarray, "B"],
    ) -> "FeatureState":
        """Adds the valid rows of one batch; a NaN in one makes every distance NaN.

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
        # Infinite less infinite is NaN, and is meant to be.
        with np.errstate(invalid="ignore"):
            deviations = rows - mean
            return self.merge(FeatureState(len(rows), mean, deviations.T @ deviations))

    def merge(self, other: "FeatureState") -> "FeatureState":
        """What either has seen; up to rounding, order does not matter.

        By Chan, Golub and LeVeque (1983), as sums of squares would cancel.

        Raises:
          ValueError: they have different numbers of features.
        """
        if self.mean.shape != other.mean.shape:
            raise ValueError(
                f"FeatureState.merge: both must have the same number of features, got"
                f" {self.mean.size} and {other.mean.size}."
            )
        # Not only for speed: the mean of nothing has no place in what follows.
        if not self.count or not other.count:
            return self if self.count else other
        count = self.count + other.count
        step = other.mean - self.mean
        scatter = self.scatter + other.scatter
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
    if not all(np.all(np.isfinite(state.scatter)) for state in (a, b)):
        return float("nan")
    # The square roots of the eigenvalues of A^1/2 B A^1/2 are the singular values of any root of A
    # times one of B. Taken so, rounding is not under a square root, where it would grow.
    shared = np.sum(scipy.linalg.svdvals(_root(a).T @ _root(b)))
    spread = sum(np.trace(state.scatter) / (state.count - 1) for state in (a, b))
    return float(max(0.0, np.sum((a.mean - b.mean) ** 2) + spread - 2 * shared))


def _root(state: FeatureState) -> Float64[np.ndarray, "D _"]:
    """R with R R^T the covariance: as many columns as its rank can be."""
    values, vectors = np.linalg.eigh(state.scatter / (state.count - 1))
    # n images span n - 1 directions. What else is above zero is rounding, and would take time.
    rank = min(len(values), state.count - 1)
    return vectors[:, -rank:] * np.sqrt(np.maximum(values[-rank:], 0.0))


@dataclasses.dataclass(frozen=True, eq=False)
class ClassState:
    """What an Inception score needs of the classes of all images seen so far.

    Which split an image is in depends on its place and on how many there are, so both are told:
    then batches may come in any order, and from several hosts.

    Attributes:
      images: how many there will be.
      counts: images seen, by split.
      totals: sum of their probabilities, by split.
      information: sum over them of sum p log p, by split.
    """

    images: int
    counts: Int[np.ndarray, "S"]
    totals: Float64[np.ndarray, "S C"]
    information: Float64[np.ndarray, "S"]

    @classmethod
    def empty(cls, images: int, classes: int, splits: int = SPLITS) -> "ClassState":
        """No image of `images` yet, neutral for `merge`.

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
        """Adds the valid rows of one batch; a NaN in one makes the score NaN.

        Args:
          probabilities: of the classes, for every image.
          place: of every image in its set, from 0.
          valid: False for rows that are padding; neither their place nor anything else is read.

        Raises:
          ValueError: the shapes do not fit, a place is outside of the set, or the probabilities of
            an image are negative or do not add up to 1.
        """
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
        valid = np.asarray(valid)
        rows, place = np.asarray(probabilities, np.float64)[valid], np.asarray(place)[valid]
        outside = place[(place < 0) | (place >= self.images)]
        if outside.size:
            raise ValueError(
                f"ClassState.update: a place is from 0 to {self.images - 1}, got {outside[0]}."
            )
        sums = np.sum(rows, axis=1, keepdims=True)
        # Written so that a NaN, which is no mistake of the caller, passes.
        if np.any(rows < 0) or np.any(np.abs(sums - 1) > _SUM_TOLERANCE):
            raise ValueError(
                "ClassState.update: probabilities must be at least 0 and add up to 1; are these"
                " logits?"
            )
        # What float32 leaves of a softmax to 1 would count times the logarithm of all classes.
        rows = rows / sums
        splits = len(self.counts)
        split = np.searchsorted(_starts(self.images, splits), place, side="right") - 1
        which = np.arange(splits)[:, None] == split[None, :]
        # Not as a product with `which`: 0 * NaN would reach the other splits.
        parts = [rows[mine] for mine in which]
        return ClassState(
            self.images,
            self.counts + np.sum(which, axis=1),
            self.totals + np.stack([np.sum(part, axis=0) for part in parts]),
            self.information + np.stack([np.sum(scipy.special.xlogy(p, p)) for p in parts]),
        )

    def merge(self, other: "ClassState") -> "ClassState":
        """What either has seen; up to rounding, order does not matter.

        Raises:
          ValueError: they are not of one set, or not split alike.
        """
        if self.images != other.images or self.totals.shape != other.totals.shape:
            raise ValueError(
                "ClassState.merge: both must be of the same images, splits and classes, got"
                f" {(self.images, *self.totals.shape)} and {(other.images, *other.totals.shape)}."
            )
        return ClassState(
            self.images,
            self.counts + other.counts,
            self.totals + other.totals,
            self.information + other.information,
        )

    def result(self) -> tuple[float, float]:
        """Mean and standard deviation, over the splits, of the score, from 1 to all classes.

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
        # A mean over the images of sum p log(p / mean), taken apart.
        divergence = self.information / self.counts - np.sum(scipy.special.xlogy(mean, mean), 1)
        scores = np.exp(np.maximum(divergence, 0.0))
        return float(np.mean(scores)), float(np.std(scores))


def inception_score(
    probabilities: Float[Array, "N C"] | Float[np.ndarray, "N C"], splits: int = SPLITS
) -> tuple[float, float]:
    """The Inception score (Salimans et al. 2016) of images in their order, all at once.

    Args:
      probabilities: of the classes, for every image.
      splits: parts of consecutive images, each scored by itself.

    Returns:
      Mean and standard deviation over the splits.

    Raises:
      UserError: there are fewer images than splits, or no splits.
      ValueError: the shape is wrong, or these are no probabilities.
    """
    if probabilities.ndim != 2:
        raise ValueError(
            f"inception_score: probabilities must have shape [N, C], got {probabilities.shape}."
        )
    count, classes = probabilities.shape
    state = ClassState.empty(count, classes, splits)
    return state.update(probabilities, np.arange(count), np.ones(count, bool)).result()


def _starts(images: int, splits: int) -> Int[np.ndarray, "S"]:
    """The first image of every split."""
    return np.arange(splits) * images // splits
