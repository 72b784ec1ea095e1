"""Loss terms: pure functions of arrays to a scalar, computed in float32, without weights."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def gan_discriminator(real: Float[Array, "..."], fake: Float[Array, "..."]) -> Float[Array, ""]:
    """-log D(real) - log(1 - D(fake)), mean over patches (seed 000, equation 2.13); from logits."""
    return jnp.mean(jax.nn.softplus(-real)) + jnp.mean(jax.nn.softplus(fake))


def gan_generator(fake: Float[Array, "..."]) -> Float[Array, ""]:
    """-log D(fake), mean over patches: the non-saturating form of section 2.2.1; from logits."""
    return jnp.mean(jax.nn.softplus(-fake))


def l1(image: Float[Array, "b h w c"], target: Float[Array, "b h w c"]) -> Float[Array, ""]:
    """Mean absolute difference."""
    return jnp.mean(jnp.abs(image.astype(jnp.float32) - target.astype(jnp.float32)))


def masked_l1(difference: Float[Array, "b j c"], mask: Bool[Array, "b j"]) -> Float[Array, ""]:
    """Mean absolute value over the coordinates of the points in the mask; 0 where it is empty."""
    kept = jnp.where(mask[..., None], jnp.abs(difference.astype(jnp.float32)), 0.0)
    count = difference.shape[-1] * jnp.sum(mask, dtype=jnp.float32)
    return jnp.sum(kept) / jnp.maximum(count, 1.0)


def chroma(image: Float[Array, "b h w 3"], target: Float[Array, "b h w 3"]) -> Float[Array, ""]:
    """Mean absolute difference of R - G, G - B and B - R: of colours, whatever their brightness.

    People differ four times as much in brightness as from green to magenta, and a network learns
    the larger difference first.
    """
    differences = [x - jnp.roll(x, -1, axis=-1) for x in (image, target)]
    return l1(*differences)


def nearest_neighbour(
    features: Float[Array, "b h w c"], target: Float[Array, "b h w c"], neighbourhood: int
) -> Float[Array, ""]:
    """Equation 3.3 of seed 000: per pixel the L1 distance to the most similar feature nearby.

    The minimum runs over a square of `neighbourhood` pixels of the target's features; pixels
    outside of the image never are the nearest. Mean over pixels and batch, sum over channels.

    One offset at a time, so that memory does not grow with the neighbourhood; the gradient is that
    of the nearest offset, found again rather than stored for each of them.

    Args:
      features: of the generated image.
      target: of the real one.
      neighbourhood: odd, pixels.

    Raises:
      ValueError: the neighbourhood is even.
    """
    if neighbourhood % 2 == 0:
        raise ValueError(f"neighbourhood must be odd, got {neighbourhood}.")
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

    start = (jnp.full(features.shape[:3], jnp.inf), jnp.zeros(features.shape[:3], jnp.int32))
    (_, nearest), _ = jax.lax.scan(nearer, start, jnp.arange(neighbourhood**2))
    rows = jnp.arange(height)[:, None] + nearest // neighbourhood
    columns = jnp.arange(width) + nearest % neighbourhood
    matched = jax.vmap(lambda values, r, c: values[r, c])(
        jax.lax.stop_gradient(padded), rows, columns
    )
    return jnp.mean(jnp.sum(jnp.abs(features - matched), axis=-1))
