"""A U-net: features of an image at its own size, from features of every half of it."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from volsynth.nn import blocks, layers


class UNet(nn.Module):
    """A convolution, halvings, residual blocks at the smallest size, and doublings with skips.

    Attributes:
      widths: output channels at every size, the image's first.
      blocks: number of residual blocks at the smallest size.
      remat: see `blocks.maybe_remat`.
      dtype: dtype of the computation.
    """

    widths: Sequence[int]
    blocks: int
    remat: bool = False
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w f"]:
        """Features with twice the channels of the first width: those before and after the rest."""
        conv_block, residual_block, up_block = (
            blocks.maybe_remat(block, self.remat)
            for block in (blocks.ConvBlock, blocks.ResidualBlock, blocks.UpBlock)
        )
        first, *widths = self.widths
        # Without a norm: the level of a colour is not to be measured by the rest of the image.
        x = layers.leaky_relu(layers.Conv(first, (3, 3), dtype=self.dtype)(x))
        skips = []
        for i, width in enumerate(widths):
            skips.append(x)
            # Padding alternates between the ends of the axes, as in `backbones.ImageEncoder`.
            padding = ("SAME", "SAME_LOWER")[i % 2]
            block = conv_block(
                width, (3, 3), 2, padding=padding, dtype=self.dtype, name=f"ConvBlock_{i}"
            )
            x = block(x)
        for i in range(self.blocks):
            block = residual_block(
                (3, 3), dilations=(1, 2), dtype=self.dtype, name=f"ResidualBlock_{i}"
            )
            x = block(x)
        for i, skip in enumerate(reversed(skips)):
            x = up_block(skip.shape[-1], dtype=self.dtype, name=f"UpBlock_{i}")(x)
            x = jnp.concatenate([x, skip], axis=-1)
        return x
