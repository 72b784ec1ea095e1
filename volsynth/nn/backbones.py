"""The stages of a generator: image encoder, volume stack, image decoder."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from volsynth.nn import blocks, layers


class ImageEncoder(nn.Module):
    """Image to features at a fraction of its size: C7,1 then C3,2 for every further width.

    Padding alternates between the ends of the axes, so that a feature sees what lies around its own
    centre: padded at the same end twice, all of them would look 1.5 pixels to the lower right.

    Attributes:
      widths: output channels of each convolution; all but the first halve the size.
      dilation_block: ends with the block that widens the receptive field (seed 000, 4.3.3).
      depth: of the volume that the result is lifted to; 1 for none. See `layers.depth_tied`.
      dtype: of the computation.
    """

    widths: Sequence[int]
    dilation_block: bool
    depth: int = 1
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 f"]:
        tied = {"kernel_init": layers.depth_tied(self.depth, axis=-1), "dtype": self.dtype}
        first, *widths = self.widths
        x = blocks.ConvBlock(first, (7, 7), dtype=self.dtype)(image)
        for i, width in enumerate(widths):
            settings = tied if i == len(widths) - 1 else {"dtype": self.dtype}
            padding = ("SAME", "SAME_LOWER")[i % 2]
            x = blocks.ConvBlock(width, (3, 3), stride=2, padding=padding, **settings)(x)
        if self.dilation_block:
            x = blocks.ResidualBlock((3, 3), dilations=(4, 8), **tied)(x)
        return x


class VolumeStack(nn.Module):
    """Residual blocks of 3D convolutions, after an optional first convolution.

    Attributes:
      num_blocks: how many residual blocks.
      features: output channels of the first convolution; None leaves it out.
      dtype: of the computation.
    """

    num_blocks: int
    features: int | None = None
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, volume: Float[Array, "b h w d c"]) -> Float[Array, "b h w d f"]:
        x = volume
        if self.features is not None:
            x = blocks.ConvBlock(self.features, (3, 3, 3), dtype=self.dtype)(x)
        for _ in range(self.num_blocks):
            x = blocks.ResidualBlock((3, 3, 3), dtype=self.dtype)(x)
        return x


class ImageDecoder(nn.Module):
    """Features to values in [-1, 1]: doubles the size for every width, then C7,1 and tanh.

    Attributes:
      widths: output channels of each doubling.
      channels: of the result.
      depth: of the volume that was flattened to the input; 1 for none. See `layers.depth_tied`.
      dtype: of the computation.
    """

    widths: Sequence[int]
    channels: int = 3
    depth: int = 1
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 channels"]:
        first, *widths = self.widths
        tied = layers.depth_tied(self.depth, axis=-2)
        x = blocks.UpBlock(first, kernel_init=tied, dtype=self.dtype)(x)
        for width in widths:
            x = blocks.UpBlock(width, dtype=self.dtype)(x)
        x = layers.Conv(self.channels, (7, 7), dtype=self.dtype)(x)
        return jnp.tanh(x.astype(jnp.float32))
