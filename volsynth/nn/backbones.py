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
      remat: see `blocks.forgetful`.
      dtype: of the computation.
    """

    widths: Sequence[int]
    dilation_block: bool
    depth: int = 1
    remat: bool = False
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 f"]:
        tied = {"kernel_init": layers.depth_tied(self.depth, axis=-1), "dtype": self.dtype}
        conv_block = blocks.forgetful(blocks.ConvBlock, self.remat)
        first, *widths = self.widths
        x = conv_block(first, (7, 7), dtype=self.dtype, name="ConvBlock_0")(image)
        for i, width in enumerate(widths):
            settings = tied if i == len(widths) - 1 else {"dtype": self.dtype}
            padding = ("SAME", "SAME_LOWER")[i % 2]
            x = conv_block(
                width, (3, 3), stride=2, padding=padding, name=f"ConvBlock_{i + 1}", **settings
            )(x)
        if self.dilation_block:
            block = blocks.forgetful(blocks.ResidualBlock, self.remat)
            x = block((3, 3), dilations=(4, 8), name="ResidualBlock_0", **tied)(x)
        return x


class VolumeStack(nn.Module):
    """Residual blocks of 3D convolutions, after an optional first convolution.

    Attributes:
      num_blocks: how many residual blocks.
      features: output channels of the first convolution; None leaves it out.
      remat: see `blocks.forgetful`.
      dtype: of the computation.
    """

    num_blocks: int
    features: int | None = None
    remat: bool = False
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, volume: Float[Array, "b h w d c"]) -> Float[Array, "b h w d f"]:
        x = volume
        if self.features is not None:
            conv_block = blocks.forgetful(blocks.ConvBlock, self.remat)
            x = conv_block(self.features, (3, 3, 3), dtype=self.dtype, name="ConvBlock_0")(x)
        block = blocks.forgetful(blocks.ResidualBlock, self.remat)
        for i in range(self.num_blocks):
            x = block((3, 3, 3), dtype=self.dtype, name=f"ResidualBlock_{i}")(x)
        return x


class ImageDecoder(nn.Module):
    """Features to values in [-1, 1]: doubles the size for every width, then C7,1 and tanh.

    Attributes:
      widths: output channels of each doubling.
      channels: of the result.
      depth: of the volume that was flattened to the input; 1 for none. See `layers.depth_tied`.
      remat: see `blocks.forgetful`.
      dtype: of the computation.
    """

    widths: Sequence[int]
    channels: int = 3
    depth: int = 1
    remat: bool = False
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 channels"]:
        first, *widths = self.widths
        tied = layers.depth_tied(self.depth, axis=-2)
        block = blocks.forgetful(blocks.UpBlock, self.remat)
        x = block(first, kernel_init=tied, dtype=self.dtype, name="UpBlock_0")(x)
        for i, width in enumerate(widths, start=1):
            x = block(width, dtype=self.dtype, name=f"UpBlock_{i}")(x)
        x = layers.Conv(self.channels, (7, 7), dtype=self.dtype)(x)
        return jnp.tanh(x.astype(jnp.float32))
