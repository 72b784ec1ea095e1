"""The deformable GAN, a baseline whose skip connections move the features of body parts.

A. Siarohin, E. Sangineto, S. Lathuilière, N. Sebe, *Deformable GANs for Pose-based Human Image
Generation* (2018). A U-net with two encoders, one for the source image with its pose and one for
the target pose; in the larger skip connections the image's features are cut out by ten rectangles
and moved by affine transforms.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from volsynth import skeleton
from volsynth.config import build_section
from volsynth.conventions import BACKGROUND
from volsynth.errors import UserError, did_you_mean
from volsynth.nn import backbones, blocks, layers
from volsynth.objectives import image_system
from volsynth.ops import keying, pose_volumes, rectangles
from volsynth.ops.warp import warp
from volsynth.system import Batch, System

PAPER = "Siarohin et al. 2018, Deformable GANs for Pose-based Human Image Generation"

FIGURES = {
    "of": "256 pixels (variant full)",
    "params_total": 82.08e6,
    "operations_as_printed": 547e9,
}
"""Published numbers: parameters from table 2 of Zhu et al. 2019 (PATN), operations from table 6.16
of Knoche 2019."""

DROPOUT_BLOCKS = 3
"""Number of blocks at the start of the decoder that have dropout."""


def heatmaps(
    batch: Batch, role: str, side: float, sigma: float, count: int
) -> Float[Array, "b h w n"]:
    """Heatmaps of a pose: 2D Gaussians of its joints, at the size of the image.

    The published networks have 18 maps, for the joints of OpenPose; our skeleton has 15 joints.
    Maps beyond those stay empty, as the map of a joint that is not visible does.

    Args:
      batch: the batch.
      role: which pose, "source" or "target".
      side: side of the image, pixels.
      sigma: standard deviation of the Gaussians, pixels.
      count: number of maps, at least one for each joint.
    """
    joints, visible = batch[f"{role}_joints"], batch[f"{role}_visible"]
    shape = (*batch[f"{role}_image"].shape[1:3], 1)
    maps = pose_volumes.heatmaps(joints, visible, shape, side, sigma, flat=True)[:, :, :, 0]
    return jnp.pad(maps, ((0, 0), (0, 0), (0, 0), (0, count - skeleton.NUM_JOINTS)))


class DownBlock(nn.Module):
    """An encoder block: LeakyReLU, a convolution that halves the size, norm.

    Attributes:
      features: output channels.
      norm: whether there is a norm.
      dtype: type in which the layers compute.
    """

    features: int
    norm: bool
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 features"]:
        """Features of half the size."""
        around = ((1, 1), (1, 1))
        # As in the published code, only the first and the last convolution have a bias.
        conv = layers.Conv(self.features, (4, 4), 2, 1, around, has_bias=False, dtype=self.dtype)
        x = conv(layers.leaky_relu(x))
        return layers.SampleNorm()(x) if self.norm else x


class UpBlock(nn.Module):
    """A decoder block: ReLU, a transposed convolution that doubles the size, norm, dropout.

    Attributes:
      features: output channels.
      dropout: probability with which a value is set to 0; 0 for no dropout.
      dtype: type in which the layers compute.
    """

    features: int
    dropout: float
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b 2*h 2*w features"]:
        """Features of twice the size."""
        x = layers.ConvTranspose(self.features, dtype=self.dtype)(jax.nn.relu(x))
        x = layers.SampleNorm()(x)
        return nn.Dropout(self.dropout, deterministic=self.dropout == 0)(x)


class Encoder(nn.Module):
    """An encoder that returns its features of every size; there is no norm at the smallest.

    Attributes:
      widths: output channels of the levels; all but the first halve the size.
      remat: whether blocks keep only their inputs for the backward pass, to save memory.
      dtype: type in which the layers compute.
    """

    widths: Sequence[int]
    remat: bool
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> list[Array]:
        """Features of every level, from the image's size to the smallest."""
        levels = [layers.Conv(self.widths[0], (3, 3), dtype=self.dtype)(x)]
        block = blocks.maybe_remat(DownBlock, self.remat)
        last = len(self.widths) - 1
        for i, width in enumerate(self.widths[1:], start=1):
            # Named: with and without `remat` parameters must have the same names.
            down = block(width, norm=i < last, dtype=self.dtype, name=f"DownBlock_{i}")
            levels.append(down(levels[-1]))
        return levels


class Generator(nn.Module):
    """The generator: two encoders, and a decoder with the features of both at every size.

    Attributes:
      encoder_widths: output channels of the levels of each encoder; all but the first halve the
        size.
      decoder_widths: output channels of each layer that doubles the size; as many as there are
        halvings.
      moved_levels: number of levels, from the image's size on, whose features are moved.
      heatmaps: number of maps of a pose; at least one for each joint.
      heatmap_sigma: standard deviation of the joints' Gaussians, as a share of the image's side.
      interpolation: kind of interpolation in the warp, see `ops.warp`; pose-gan has "nearest".
      dropout: probability of dropout in training, in the first `DROPOUT_BLOCKS` blocks of the
        decoder.
      chroma_key: whether the background is taken out of the source image and put behind what the
        decoder paints, with a fourth channel for coverage.
      remat: whether blocks keep only their inputs for the backward pass, to save memory.
      dtype: type in which the layers compute.
    """

    encoder_widths: Sequence[int]
    decoder_widths: Sequence[int]
    moved_levels: int
    heatmaps: int
    heatmap_sigma: float
    interpolation: str
    dropout: float
    chroma_key: bool
    remat: bool
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, batch: Batch, train: bool) -> dict[str, Array]:
        """The image in the target pose, "image", and the moved features of its size, "warped"."""
        image = batch["source_image"]
        side = float(image.shape[2])
        sigma = self.heatmap_sigma * side
        if self.chroma_key:
            image = keying.remove(image, BACKGROUND)
        source, target = (
            heatmaps(batch, role, side, sigma, self.heatmaps) for role in ("source", "target")
        )
        poses = [batch[f"{r}_{k}"] for r in ("source", "target") for k in ("joints", "visible")]

        common = {"widths": self.encoder_widths, "remat": self.remat, "dtype": self.dtype}
        of_image = Encoder(**common, name="image_stream")(jnp.concatenate([image, source], axis=-1))
        of_pose = Encoder(**common, name="pose_stream")(target)
        # From the image's size on; as published, skip connections of smaller levels are plain.
        for i in range(self.moved_levels):
            of_image[i] = rectangles.move(of_image[i], *poses, side, self.interpolation)
        skips = [jnp.concatenate(pair, axis=-1) for pair in zip(of_image, of_pose)]

        x = skips.pop()
        block = blocks.maybe_remat(UpBlock, self.remat)
        for i, width in enumerate(self.decoder_widths):
            dropout = self.dropout if train and i < DROPOUT_BLOCKS else 0.0
            x = block(width, dropout, dtype=self.dtype, name=f"UpBlock_{i}")(x)
            x = jnp.concatenate([x, skips.pop()], axis=-1)
        channels = 4 if self.chroma_key else 3
        x = layers.Conv(channels, (3, 3), dtype=self.dtype)(jax.nn.relu(x))
        # Images are float32 in any precision.
        painted = jnp.tanh(x.astype(jnp.float32))
        result = keying.over(painted, BACKGROUND) if self.chroma_key else painted
        return {"image": result, "warped": of_image[0]}


class Discriminator(nn.Module):
    """The discriminator, which judges an image given the source image and both poses.

    Attributes:
      widths: output channels of its convolutions; one more convolution gives the logits.
      heatmaps, heatmap_sigma: as in the generator.
      dtype: type in which the layers compute.
    """

    widths: Sequence[int]
    heatmaps: int
    heatmap_sigma: float
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, image: Float[Array, "b h w 3"], batch: Batch) -> Float[Array, "b h2 w2"]:
        """Logits of patches of the image: high where it looks real."""
        side = float(image.shape[2])
        source, target = (
            heatmaps(batch, role, side, self.heatmap_sigma * side, self.heatmaps)
            for role in ("source", "target")
        )
        x = [batch["source_image"], source, image, target]
        x = jnp.concatenate([v.astype(self.dtype) for v in x], axis=-1)
        first, *widths = self.widths
        x = layers.Conv(first, (4, 4), 2, padding="VALID", dtype=self.dtype)(x)
        for width in widths:
            x = DownBlock(width, norm=True, dtype=self.dtype)(x)
        x = DownBlock(1, norm=False, dtype=self.dtype)(x)
        # Losses are float32 in any precision.
        return x[..., 0].astype(jnp.float32)


def make(config: Any) -> System:
    """The deformable system of a config.

    Args:
      config: the whole config; its sections `model`, `discriminator` and `loss`, the image size and
        the precision are read.

    Raises:
      UserError: image size and network do not fit together, or a value is not allowed.
    """
    model, dtype = config.model, layers.precision(config.precision)
    backbones.check_widths(model, config.data.image_size)
    _check(model)
    maps = {"heatmaps": model.heatmaps, "heatmap_sigma": model.heatmap_sigma}
    discriminator = build_section(Discriminator, config, "discriminator", **maps, dtype=dtype)
    loss = build_section(image_system.Loss, config, "loss")
    if loss.pose:
        raise UserError(f"config.loss.pose must be 0, got {loss.pose}: there is no pose head here.")
    generator = build_section(Generator, config, "model", dtype=dtype)
    return image_system.image_system("deformable", PAPER, loss, generator, discriminator, FIGURES)


def _check(model):
    halvings = len(model.encoder_widths) - 1
    # The smallest level is no skip connection: the decoder begins with it.
    if not 0 <= model.moved_levels <= halvings:
        raise UserError(
            f"config.model.moved_levels must be from 0 to {halvings}, one fewer than "
            f"encoder_widths, got {model.moved_levels}."
        )
    if model.heatmaps < skeleton.NUM_JOINTS:
        raise UserError(
            f"config.model.heatmaps must be at least {skeleton.NUM_JOINTS}, one for each joint, "
            f"got {model.heatmaps}."
        )
    if not 0 <= model.dropout < 1:
        raise UserError(f"config.model.dropout must be from 0 to below 1, got {model.dropout}.")
    if model.interpolation not in warp.INTERPOLATIONS:
        hint = did_you_mean(model.interpolation, warp.INTERPOLATIONS)
        raise UserError(
            f"config.model.interpolation: unknown interpolation {model.interpolation!r}; {hint}"
        )
