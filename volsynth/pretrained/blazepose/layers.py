"""Layers of BlazePose, and the encoder that its detector and its landmark network share.

Bazarevsky et al., BlazePose: On-device Real-time Body Pose Tracking (2020). The layers are those of
the published graphs, in which every normalisation is already part of a convolution. Images and
features are [B, H, W, C], float32.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volsynth.ops import convolution

Activation = Callable[[Array], Array]
"""A function of every feature by itself."""

STEM = 16
"""The number of features of the encoder's first output."""

# Parameters come from a file. Flax traces the initialiser of each of them whenever it traces a
# network: random numbers would make that take twice as long.
_FROM_FILE = nn.initializers.zeros


def linear(x: Array) -> Array:
    """The features as they are: the activation of layers that have none."""
    return x


class Convolution(nn.Module):
    """A convolution with bias and activation.

    Attributes:
      features: the number of output channels.
      side: the side of the kernel, in pixels.
      stride: the stride in pixels.
      padding: "SAME" or "VALID", or the zeros before and after, for height and width.
      activation: of the result.
    """

    features: int
    side: int = 1
    stride: int = 1
    padding: str | tuple[tuple[int, int], ...] = "SAME"
    activation: Activation = linear

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b i j o"]:
        """Returns the features, smaller by the stride."""
        shape = (self.side, self.side, x.shape[-1], self.features)
        kernel = self.param("kernel", _FROM_FILE, shape)
        bias = self.param("bias", _FROM_FILE, (self.features,))
        if self.side == self.stride == 1:
            # A product of matrices: as a convolution it takes the CPU longer.
            y = jnp.einsum("bhwc,co->bhwo", x, kernel[0, 0])
        else:
            y = convolution.conv(x, kernel, self.stride, padding=self.padding)
        return self.activation(y + bias.reshape(1, 1, 1, -1))


class Depthwise(nn.Module):
    """A convolution of every channel by itself, with bias and activation.

    Attributes:
      side: the side of the kernel, in pixels.
      stride: the stride in pixels.
      padding: "SAME", or the zeros before and after, for height and width.
      activation: of the result.
    """

    side: int = 3
    stride: int = 1
    padding: str | tuple[tuple[int, int], ...] = "SAME"
    activation: Activation = nn.relu6

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b i j c"]:
        """Returns as many channels as it is given, smaller by the stride."""
        shape = (self.side, self.side, x.shape[-1])
        kernel = self.param("kernel", _FROM_FILE, shape)
        bias = self.param("bias", _FROM_FILE, (x.shape[-1],))
        y = convolution.depthwise_conv(x, kernel, self.stride, self.padding)
        y = self.activation(y + bias.reshape(1, 1, 1, -1))
        # Else XLA computes all of it anew wherever it is used, in a larger program.
        return jax.lax.optimization_barrier(y)


class Separable(nn.Module):
    """A depthwise convolution over 3x3 pixels, then one over single pixels.

    Attributes:
      features: the number of output channels.
      between: the activation after the first.
      activation: the activation after the second.
    """

    features: int
    between: Activation = nn.relu6
    activation: Activation = nn.relu6

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w o"]:
        """Returns features of the same size."""
        x = Depthwise(activation=self.between, name="depthwise")(x)
        return Convolution(self.features, activation=self.activation, name="pointwise")(x)


class Residual(nn.Module):
    """ReLU6 of the input plus a separable convolution of it.

    Attributes:
      between: the activation between the two convolutions.
    """

    between: Activation = nn.relu6

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Returns features of the same size and number."""
        features = x.shape[-1]
        return nn.relu6(x + Separable(features, self.between, linear, name="separable")(x))


class Block(NamedTuple):
    """An inverted bottleneck (Sandler et al. 2018) of the encoder.

    Attributes:
      expanded: the number of channels of the depthwise convolution.
      side: the side of its kernel.
      stride: its stride; with 1 the block's input is added to its output, where that has as many
        channels.
      features: the number of output channels.
      times: how often the block stands in a row, each time with parameters of its own.
    """

    expanded: int
    side: int
    stride: int
    features: int
    times: int = 1


class Bottleneck(nn.Module):
    """The network of a `Block`."""

    block: Block

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b i j o"]:
        """Returns the block's features, smaller by its stride."""
        block, reach = self.block, self.block.side // 2
        y = Convolution(block.expanded, activation=nn.relu6, name="expand")(x)
        # With a stride of 2, "SAME" would pad at the end alone.
        y = Depthwise(block.side, block.stride, ((reach, reach),) * 2, name="depthwise")(y)
        y = Convolution(block.features, name="project")(y)
        return x + y if y.shape == x.shape else y


class Encoder(nn.Module):
    """The encoder: features of an image at five sizes.

    Attributes:
      stages: the blocks of each size; the first block of a stage has a stride of 2.
      expanded: the number of features of the last output.
    """

    stages: tuple[tuple[Block, ...], ...]
    expanded: int

    @nn.compact
    def __call__(self, image: Float[Array, "b h w 3"]) -> list[Float[Array, "b _ _ _"]]:
        """Returns the stem's features at half the size, and those of every stage.

        The last output is that of the last stage with more features, at the same size: an image of
        side 256 gives the sides 128, 64, 32, 16 and 8.
        """
        half = Convolution(24, 3, 2, ((1, 1), (1, 1)), nn.relu6, name="stem")(image)
        half = Depthwise(name="stem_depthwise")(half)
        found = [Convolution(STEM, name="stem_project")(half)]
        for i, blocks in enumerate(self.stages):
            x = found[-1]
            for j, block in enumerate(blocks):
                x = repeated(Bottleneck(block, name=f"stage{i}_block{j}"), x, block.times)
            found.append(x)
        y = Convolution(self.expanded, activation=nn.relu6, name="expand")(found[-1])
        found[-1] = Depthwise(name="depthwise")(y)
        return found


def repeated(layer: nn.Module, x: Float[Array, "b h w c"], times: int) -> Float[Array, "b _ _ _"]:
    """The layer's output for its output, and so on, each time with other parameters.

    Where a layer is repeated, its parameters have an axis of the repetitions in front. It is
    compiled once, as the compiler takes longer than the network.
    """
    if times == 1:
        return layer(x)
    scan = nn.scan(
        lambda layer, x, _: (layer(x), None),
        variable_axes={"params": 0},
        split_rngs={"params": True},
        length=times,
    )
    return scan(layer, x, None)[0]


def doubled(x: Float[Array, "b h w c"]) -> Float[Array, "b 2*h 2*w c"]:
    """Doubles height and width by linear interpolation between the centres of pixels."""
    rows, columns = (jnp.asarray(_doubling(size)) for size in x.shape[1:3])
    # Two products of matrices. `jax.image.resize` makes the same from the positions of pixels,
    # which takes several times as long to trace and to compile.
    x = jnp.einsum("ih,bhwc->biwc", rows, x)
    return jnp.einsum("jw,biwc->bijc", columns, x)


def _doubling(size):
    """The weights of `size` values in twice as many between them, [2 * size, size]."""
    places = np.clip((np.arange(2 * size) + 0.5) / 2 - 0.5, 0, size - 1)
    # Each place is a mean of the values on its two sides.
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(size))).astype(np.float32)
