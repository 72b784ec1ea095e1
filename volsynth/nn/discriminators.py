"""Discriminators. They return logits; the losses know what to do with them."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from volsynth.nn import blocks, layers


class PatchDiscriminator(nn.Module):
    """C4,2 - instance norm - LeakyReLU for every width, then C4,2 to one logit per patch.

    Isola et al. 2017, as printed in seed 000, section 4.4 (64, 128, 256, 512 there). The condition
    (source image, target pose) comes as further channels of the input.
    """

    widths: Sequence[int] = (64, 128, 256, 512)
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2"]:
        for width in self.widths:
            x = blocks.ConvBlock(width, (4, 4), stride=2, dtype=self.dtype)(x)
        x = layers.Conv(1, (4, 4), stride=2, dtype=self.dtype)(x)
        return x[..., 0].astype(jnp.float32)
