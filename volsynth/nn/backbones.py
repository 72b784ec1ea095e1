"""The parts of a generator: image encoder, stack of volume blocks, image decoder."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from volsynth.errors import UserError
from volsynth.nn import blocks, layers


def check_widths(model: Any, image_size: int) -> None:
    """Checks that an encoder halves the image as often as the decoder doubles it.

    Args:
      model: a section with `encoder_widths`, of which all but the first halve the size, and
        `decoder_widths`.
      image_size: side of the image, pixels.

    Raises:
      UserError: it does not, or the image cannot be halved so often without remainder.
    """
    halvings = len(model.encoder_widths) - 1
    if image_size % 2**halvings:
        raise UserError(
            f"config.data.image_size must be a multiple of {2**halvings}, got {image_size}."
        )
    if len(model.decoder_widths) != halvings:
        raise UserError(
            "config.model.decoder_widths must be one fewer than encoder_widths, that is "
            f"{halvings}, got {len(model.decoder_widths)}."
        )


class ImageEncoder(nn.Module):
    """Turns an image into features at a fraction of its size: C7,1, then C3,2 for each width.

    Attributes:
      widths: output channels of each convolution; all but the first halve the size.
      dilation_block: whether the block that widens the receptive field is the last (Knoche 2019,
        4.3.3).
      depth: depth of the volume that the result is lifted to; 1 for none. See `layers.depth_tied`.
      remat: see `blocks.maybe_remat`.
      dtype: dtype of the computation.
    """

    widths: Sequence[int]
    dilation_block: bool
    depth: int = 1
    remat: bool = False
    dtype: layers.Dtype = jnp.float32

    def __call__(self, image: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 f"]:
        """The features of the last width."""
        return self.levels(image)[-1]

    @nn.compact
    def levels(self, image: Float[Array, "b h w c"]) -> list[Array]:
        """The features of every width; the last of them are what a call returns."""
        tied = {"kernel_init": layers.depth_tied(self.depth, axis=-1), "dtype": self.dtype}
        # Names are given throughout, as `maybe_remat` asks; they are those that Flax would give.
        conv_block = blocks.maybe_remat(blocks.ConvBlock, self.remat)
        first, *widths = self.widths
        found = [conv_block(first, (7, 7), dtype=self.dtype, name="ConvBlock_0")(image)]
        for i, width in enumerate(widths):
            # Only the last convolution's result is lifted.
            settings = tied if i == len(widths) - 1 else {"dtype": self.dtype}
            # Padding alternates between the ends of the axes, so that a feature sees what is around
            # its own centre: padded at the same end twice, all of them would look 1.5 pixels to the
            # lower right.
            padding = ("SAME", "SAME_LOWER")[i % 2]
            block = conv_block(
                width, (3, 3), stride=2, padding=padding, name=f"ConvBlock_{i + 1}", **settings
            )
            found.append(block(found[-1]))
        if self.dilation_block:
            block = blocks.maybe_remat(blocks.ResidualBlock, self.remat)
            found[-1] = block((3, 3), dilations=(4, 8), name="ResidualBlock_0", **tied)(found[-1])
        return found


class VolumeStack(nn.Module):
    """Residual blocks of 3D convolutions, after an optional first convolution.

    Attributes:
      num_blocks: number of residual blocks.
      features: number of output channels of the first convolution; None leaves it out.
      remat: see `blocks.maybe_remat`.
      dtype: dtype of the computation.
    """

    num_blocks: int
    features: int | None = None
    remat: bool = False
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, volume: Float[Array, "b h w d c"]) -> Float[Array, "b h w d f"]:
        """Applies the blocks one after the other."""
        x = volume
        if self.features is not None:
            conv_block = blocks.maybe_remat(blocks.ConvBlock, self.remat)
            x = conv_block(self.features, (3, 3, 3), dtype=self.dtype, name="ConvBlock_0")(x)
        block = blocks.maybe_remat(blocks.ResidualBlock, self.remat)
        for i in range(self.num_blocks):
            x = block((3, 3, 3), dtype=self.dtype, name=f"ResidualBlock_{i}")(x)
        return x


class ImageDecoder(nn.Module):
    """Turns features into values in [-1, 1]: doubles the size for each width, then C7,1 and tanh.

    Attributes:
      widths: output channels of each doubling.
      channels: number of channels of the result.
      depth: depth of the volume that was flattened to the input; 1 for none. See
        `layers.depth_tied`.
      remat: see `blocks.maybe_remat`.
      dtype: dtype of the computation.
    """

    widths: Sequence[int]
    channels: int = 3
    depth: int = 1
    remat: bool = False
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], skips: Sequence[Array] = ()
    ) -> Float[Array, "b h2 w2 channels"]:
        """Decodes features; `skips` are appended to the results of the doublings, in order."""
        skips = [*skips, *[None] * (len(self.widths) - len(skips))]
        first, *widths = self.widths
        tied = layers.depth_tied(self.depth, axis=-2)
        block = blocks.maybe_remat(blocks.UpBlock, self.remat)
        x = block(first, kernel_init=tied, dtype=self.dtype, name="UpBlock_0")(x)
        x = _joined(x, skips[0])
        for i, width in enumerate(widths, start=1):
            x = block(width, dtype=self.dtype, name=f"UpBlock_{i}")(x)
            x = _joined(x, skips[i])
        x = layers.Conv(self.channels, (7, 7), dtype=self.dtype)(x)
        # Images are float32 whatever the network computes in, since losses are.
        return jnp.tanh(x.astype(jnp.float32))


def _joined(x, skip):
    return x if skip is None else jnp.concatenate([x, skip], axis=-1)
