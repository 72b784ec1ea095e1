"""Residual networks whose output stride is chosen anew at every call."""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from volsynth.nn import layers


class ResNet(nn.Module):
    """A pre-activation bottleneck ResNet (He et al. 2016, *Identity mappings*) for images.

    A convolution of stride 2, a 3x3 maximum of stride 2, then stages of bottleneck blocks. Each
    stage but the first halves the size, until the output stride is reached; from there on it
    doubles the dilation instead, which leaves the parameters and what they compute the same: a
    network trained at stride 32 answers at stride 4, eight times as finely.

    Strides are centred (Sarandi et al. 2018): a convolution with an odd kernel can sample every
    first or every second of two pixels, half a pixel to either side of their middle. All sample the
    first but the last, which samples the second; then the errors of the first ones add up to just
    what the last one takes back, and a cell of the result looks half a pixel beside its centre at
    any stride. Sampling the same one throughout would make it 15.5 pixels at stride 32.

    Deviation: groups of channels are normalised, as in BiT (Kolesnikov et al. 2020), not batches.
    There are no running statistics, so an image's result does not depend on its batch, and the
    networks of training and of evaluation are the same.

    Attributes:
      blocks: numbers of bottleneck blocks of the stages; (3, 4, 6, 3) is ResNet-50.
      widths: inner width of the blocks of each stage; their outputs have four times as many.
      stem_width: number of output channels of the first convolution.
      stem_kernel: size of the first convolution's kernel; odd.
      groups: number of groups of each norm; where the channels do not divide by it, the largest
        number below that they divide by.
      dtype: dtype of the computation.
    """

    blocks: Sequence[int] = (3, 4, 6, 3)
    widths: Sequence[int] = (64, 128, 256, 512)
    stem_width: int = 64
    stem_kernel: int = 7
    groups: int = 32
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, image: Float[Array, "b h w 3"], stride: int) -> Float[Array, "b h2 w2 f"]:
        """Features at 1 / `stride` of the image's size.

        Raises:
          ValueError: the network has no such stride, or the image is not a multiple of it.
        """
        if stride not in self.strides(len(self.widths)):
            raise ValueError(
                f"ResNet: the stride must be one of {self.strides(len(self.widths))}, got {stride}."
            )
        if image.shape[1] % stride or image.shape[2] % stride:
            raise ValueError(
                f"ResNet: an image of {image.shape[1]} x {image.shape[2]} is no multiple of the "
                f"stride {stride}."
            )
        last = int(math.log2(stride)) - 1  # The number of the last halving, counted from 0.
        kernel = (self.stem_kernel, self.stem_kernel)
        padding = _PADDING[last == 0]
        x = layers.Conv(self.stem_width, kernel, 2, padding=padding, dtype=self.dtype, name="stem")(
            image
        )
        # Every halving samples the first of two pixels, and the last one the second.
        x = _halving_maximum(x, second=last == 1)
        reached, dilation = 4, 1
        for stage, (count, width) in enumerate(zip(self.blocks, self.widths)):
            for index in range(count):
                # Once the stride is reached, a stage that would halve dilates instead.
                halves = stage > 0 and index == 0
                samples = halves and reached < stride
                x = Bottleneck(
                    width,
                    projects=index == 0,
                    sample=int(reached * 2 == stride) if samples else None,
                    dilation=dilation,
                    groups=self.groups,
                    dtype=self.dtype,
                    name=f"stage{stage}_block{index}",
                )(x)
                if samples:
                    reached *= 2
                elif halves:
                    dilation *= 2
        return jax.nn.relu(group_norm(self.groups, x.shape[-1], self.dtype, "norm")(x))

    @staticmethod
    def strides(stages: int) -> tuple[int, ...]:
        """The output strides that a network with this number of stages can be called with."""
        return tuple(4 * 2**stage for stage in range(stages))


class Bottleneck(nn.Module):
    """A residual block: norm, ReLU and convolution three times, with kernels 1x1, 3x3 and 1x1.

    Attributes:
      width: number of inner channels; the output has four times as many.
      projects: whether the skip is a 1x1 convolution of the activated input; the first block of a
        stage has it at any stride.
      sample: 0 or 1 halves the size, keeping the first or the second of two pixels; None keeps it.
      dilation: dilation of the 3x3 convolution.
      groups: see `ResNet`.
      dtype: dtype of the computation.
    """

    width: int
    projects: bool = False
    sample: int | None = None
    dilation: int = 1
    groups: int = 32
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 f"]:
        """Applies the block to features."""

        def conv(features, size, name, has_bias=False, **settings):
            return layers.Conv(
                features, (size, size), has_bias=has_bias, dtype=self.dtype, name=name, **settings
            )

        def activate(y, name):
            return jax.nn.relu(group_norm(self.groups, y.shape[-1], self.dtype, name)(y))

        features = 4 * self.width
        active = activate(x, "norm0")
        if self.projects:
            skip = conv(features, 1, "skip", has_bias=True)(_sampled(active, self.sample))
        else:
            skip = x
        # The first two have no bias, since a norm with biases follows.
        y = conv(self.width, 1, "conv0")(active)
        if self.sample is None:
            y = conv(self.width, 3, "conv1", dilation=self.dilation)(activate(y, "norm1"))
        else:
            padding = _PADDING[self.sample]
            y = conv(self.width, 3, "conv1", stride=2, padding=padding)(activate(y, "norm1"))
        return skip + conv(features, 1, "conv2", has_bias=True)(activate(y, "norm2"))


def group_norm(groups: int, channels: int, dtype: layers.Dtype, name: str) -> nn.Module:
    """A norm over groups of channels, with statistics in float32; see `ResNet.groups`."""
    count = next(n for n in range(min(groups, channels), 0, -1) if channels % n == 0)
    # Flax computes the statistics in float32 whatever the dtype is.
    return nn.GroupNorm(num_groups=count, dtype=dtype, name=name)


# Paddings with which an odd kernel of stride 2 has its centre on the first or the second pixel.
_PADDING = ("SAME_LOWER", "SAME")


def _sampled(x, sample):
    return x if sample is None else x[:, sample::2, sample::2]


def _halving_maximum(x, second):
    """3x3 maximum around the first or the second of every two pixels."""
    low = 1 - int(second)
    return nn.max_pool(x, (3, 3), (2, 2), ((low, 1 - low),) * 2)
