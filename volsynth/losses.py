"""Loss terms: pure functions from arrays to a scalar in float32, without weights of the terms."""

from collections.abc import Callable, Mapping

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from volsynth.ops import windows


def gan_discriminator(real: Float[Array, "..."], fake: Float[Array, "..."]) -> Float[Array, ""]:
    """The loss of a GAN's discriminator: -log D(real) - log(1 - D(fake)) (equation 2.13).

    Args:
      real: logits of the patches of real images.
      fake: logits of the patches of generated images.

    Returns:
      The mean over patches.
    """
    # softplus(-x) is -log(sigmoid(x)), and does not overflow.
    return jnp.mean(jax.nn.softplus(-real)) + jnp.mean(jax.nn.softplus(fake))


def gan_generator(fake: Float[Array, "..."]) -> Float[Array, ""]:
    """The non-saturating loss of a GAN's generator: -log D(fake) (section 2.2.1).

    Args:
      fake: logits of the patches of generated images.

    Returns:
      The mean over patches.
    """
    return jnp.mean(jax.nn.softplus(-fake))


def wasserstein_critic(real: Float[Array, "..."], fake: Float[Array, "..."]) -> Float[Array, ""]:
    """The loss of a Wasserstein critic: E[D(fake)] - E[D(real)] (Knoche 2019, equation 2.15).

    Minus the loss is the critic's estimate of the Wasserstein distance.

    Args:
      real: the critic's values of real images.
      fake: the critic's values of generated images.
    """
    return jnp.mean(fake.astype(jnp.float32)) - jnp.mean(real.astype(jnp.float32))


def wasserstein_generator(fake: Float[Array, "..."]) -> Float[Array, ""]:
    """The loss of a generator against a Wasserstein critic: -E[D(fake)], of the critic's values."""
    return -jnp.mean(fake.astype(jnp.float32))


def gradient_penalty(
    critic: Callable[[Float[Array, "b h w c"]], Float[Array, "b ..."]],
    real: Float[Array, "b h w c"],
    fake: Float[Array, "b h w c"],
    mix: Float[Array, " b"],
) -> Float[Array, ""]:
    """The gradient penalty of a critic, E[(|grad D(x)| - 1)^2] (equation 2.16).

    The points x lie between real and generated images.

    Gulrajani et al. 2017. The critic's value of an image is the mean over its patches, so that its
    slope is that of what `wasserstein_critic` averages, whatever the number of patches.

    Args:
      critic: function from images to values; it must not mix examples.
      real: real images.
      fake: generated images.
      mix: places on the lines from each generated to its real image, in [0, 1].
    """
    real, fake = real.astype(jnp.float32), fake.astype(jnp.float32)
    points = fake + mix[:, None, None, None] * (real - fake)

    def total(images):
        values = critic(images).astype(jnp.float32)
        return jnp.sum(values) / (values.size / values.shape[0])

    square = jnp.sum(jnp.square(jax.grad(total)(points)), axis=(1, 2, 3))
    # The norm has no slope at zero, where a critic that sees nothing starts. The root is guarded,
    # too: else its NaN would get into the gradient though the value is not taken.
    norm = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
    return jnp.mean(jnp.square(norm - 1))


def heatmap_cross_entropy(
    logits: Float[Array, "b h w d j"],
    heatmaps: Float[Array, "b h w d j"],
    visible: Bool[Array, "b j"],
) -> Float[Array, ""]:
    """The voxel-wise cross-entropy -t log y of a pose head (Knoche 2019, section 4.3.4).

    For every joint `y` is the softmax of its logits over the volume and `t` its heatmap, divided by
    its sum. Mean over voxels, and over the joints that are visible and have a heatmap; with a mean
    rather than a sum, weights of 1 to 1e6 span the range from no influence to dominance as in
    table 6.10.
    """
    voxels = (1, 2, 3)
    logits = logits.astype(jnp.float32)
    log_probability = logits - jax.nn.logsumexp(logits, axis=voxels, keepdims=True)
    # A joint far outside of the volume has a heatmap of zeros, which no sum makes a distribution.
    mass = jnp.sum(heatmaps, axis=voxels)
    counts = visible & (mass > 0)
    target = heatmaps / jnp.where(mass > 0, mass, 1)[:, None, None, None]
    entropy = -jnp.mean(target * log_probability, axis=voxels)
    return jnp.sum(jnp.where(counts, entropy, 0)) / jnp.maximum(jnp.sum(counts), 1)


def l1(image: Float[Array, "b h w c"], target: Float[Array, "b h w c"]) -> Float[Array, ""]:
    """The mean absolute difference of two images of one shape.

    Raises:
      AssertionError: their shapes differ.
    """
    # Broadcast, an image of one channel or of one example would be compared without a word.
    chex.assert_equal_shape([image, target])
    return jnp.mean(jnp.abs(image.astype(jnp.float32) - target.astype(jnp.float32)))


def masked_l1(difference: Float[Array, "b j c"], mask: Bool[Array, "b j"]) -> Float[Array, ""]:
    """The mean absolute value of the coordinates of points in a mask; 0 where it is empty."""
    # Not multiplied with the mask: a NaN of a point that does not count would stay.
    kept = jnp.where(mask[..., None], jnp.abs(difference.astype(jnp.float32)), 0.0)
    count = difference.shape[-1] * jnp.sum(mask, dtype=jnp.float32)
    return jnp.sum(kept) / jnp.maximum(count, 1.0)


def structure(image: Float[Array, "b h w c"], target: Float[Array, "b h w c"]) -> Float[Array, ""]:
    """One minus the structural similarity of two images in [-1, 1] (Wang et al. 2004).

    The picture with the least differences of pixels has no stripes where it cannot place them;
    similarity also asks for their contrast (Zhao et al. 2017, *Loss Functions for Image Restoration
    with Neural Networks*).

    Raises:
      AssertionError: their shapes differ.
      ValueError: they are smaller than the window of 11 pixels.
    """
    chex.assert_equal_shape([image, target])
    if min(image.shape[1:3]) < windows.WINDOW:
        raise ValueError(
            f"structure: images must be at least {windows.WINDOW} pixels high and wide, the size "
            f"of its window, got {image.shape[1]} x {image.shape[2]}."
        )
    x, y = ((value.astype(jnp.float32) + 1) / 2 for value in (image, target))
    return 1 - jnp.mean(windows.structural_similarity(x, y, windows.weights()))


def chroma(image: Float[Array, "b h w 3"], target: Float[Array, "b h w 3"]) -> Float[Array, ""]:
    """The mean absolute difference of two images in R - G, G - B and B - R.

    That is their difference in colour, whatever the brightness.

    People differ four times as much in brightness as from green to magenta, and a network learns
    the larger difference first.
    """
    differences = [x - jnp.roll(x, -1, axis=-1) for x in (image, target)]
    return l1(*differences)


def nearest_neighbour(
    features: Float[Array, "b h w c"], target: Float[Array, "b h w c"], neighbourhood: int
) -> Float[Array, ""]:
    """The nearest-neighbour loss: the L1 distance to the most similar feature nearby (3.3).

    The minimum runs over a square of `neighbourhood` pixels of the target's features; pixels
    outside of the image never are the nearest. Mean over pixels and batch, sum over channels.

    One offset at a time, so that memory does not grow with the neighbourhood; the gradient is that
    of the nearest offset, found again rather than stored for each of them.

    Args:
      features: features of the generated image.
      target: features of the real image.
      neighbourhood: side of the square in pixels; odd.

    Raises:
      ValueError: the neighbourhood is even or not positive.
    """
    if neighbourhood % 2 == 0 or neighbourhood < 1:
        raise ValueError(f"neighbourhood must be odd and positive, got {neighbourhood}.")
    features, target = features.astype(jnp.float32), target.astype(jnp.float32)
    radius = neighbourhood // 2
    height, width = features.shape[1:3]
    # Far enough that no pixel beyond the border is ever the nearest (pose-gan pads the same way).
    outside = ((0, 0), (radius, radius), (radius, radius), (0, 0))
    padded = jnp.pad(target, outside, constant_values=-1e4)
    fixed = jax.lax.stop_gradient(features)

    def shifted(offset):
        row, column = jnp.divmod(offset, neighbourhood)
        start = (0, row, column, 0)
        return jax.lax.dynamic_slice(
            padded, start, (target.shape[0], height, width, target.shape[3])
        )

    def nearer(best, offset):
        distance = jnp.sum(jnp.abs(fixed - shifted(offset)), axis=-1)
        closer = distance < best[0]
        return (jnp.where(closer, distance, best[0]), jnp.where(closer, offset, best[1])), None

    # Only the place of the nearest is carried: a scan with a gradient would keep every turn.
    start = (jnp.full(features.shape[:3], jnp.inf), jnp.zeros(features.shape[:3], jnp.int32))
    (_, nearest), _ = jax.lax.scan(nearer, start, jnp.arange(neighbourhood**2))
    rows = jnp.arange(height)[:, None] + nearest // neighbourhood
    columns = jnp.arange(width) + nearest % neighbourhood
    matched = jax.vmap(lambda values, r, c: values[r, c])(
        jax.lax.stop_gradient(padded), rows, columns
    )
    return jnp.mean(jnp.sum(jnp.abs(features - matched), axis=-1))


def perceptual(
    features: Mapping[str, Float[Array, "..."]],
    target: Mapping[str, Float[Array, "..."]],
    weights: Mapping[str, float] | None = None,
) -> Float[Array, ""]:
    """The perceptual loss with L1: the mean over layers of the mean absolute difference (2.18).

    Args:
      features: features of the generated image, by layer.
      target: features of the real image, in the same layers.
      weights: weights of the layers' terms; one each by default.

    Raises:
      ValueError: there are no layers, or the layers are not the same.
    """
    weights = dict.fromkeys(features, 1.0) if weights is None else weights
    if not features or not features.keys() == target.keys() == weights.keys():
        raise ValueError(
            f"layers must be the same and at least one, got {sorted(features)} and"
            f" {sorted(target)} with weights of {sorted(weights)}."
        )
    # In a fixed order, as sums in another order round otherwise.
    terms = [weights[layer] * l1(features[layer], target[layer]) for layer in sorted(features)]
    return sum(terms) / len(terms)
