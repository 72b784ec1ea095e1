"""The blocks that networks are made of: convolutions with their norms and activations."""

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from volsynth.nn import layers


def maybe_remat(block: type[nn.Module], remat: bool) -> type[nn.Module]:
    """The class of a block, or with `remat` one whose blocks keep only their inputs for gradients.

    The backward pass then computes again what is between: about a third more time for less memory.
    Name the blocks that are made of the class: Flax's own names would differ between the two, and
    with them checkpoints.
    """
    return nn.remat(block) if remat else block


class ConvBlock(nn.Module):
    """A convolution, a norm and an activation.

    Attributes:
      features: number of output channels.
      kernel: size of the kernel along each axis.
      stride: the same along every axis.
      padding: see `layers.Conv`.
      norm: module class of the normalisation.
      act: activation function.
      kernel_init: initialiser of the kernels.
      dtype: dtype of the computation.
    """

    features: int
    kernel: Sequence[int]
    stride: int = 1
    padding: str = "SAME"
    norm: Callable[..., nn.Module] = layers.InstanceNorm
    act: Callable[[Array], Array] = layers.leaky_relu
    kernel_init: layers.Initialiser = nn.initializers.lecun_normal()
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b *axes c"]) -> Float[Array, "b *out features"]:
        """Applies convolution, norm and activation to images or volumes."""
        x = layers.Conv(
            self.features,
            self.kernel,
            self.stride,
            padding=self.padding,
            adds_bias=_keeps_bias(self.norm),
            kernel_init=self.kernel_init,
            dtype=self.dtype,
        )(x)
        return self.act(self.norm()(x))


class ResidualBlock(nn.Module):
    """Two convolutions whose result is added to the input, C I R C I as in CycleGAN.

    With `dilations=(4, 8)` and a 2D kernel it is the dilation block of Knoche 2019, section 4.3.3.
    The number of channels stays the same.

    Attributes:
      kernel: size of both kernels along each axis.
      dilations: dilation of the first and of the second convolution.
      norm: module class of the normalisation.
      act: activation function between the two.
      kernel_init: initialiser of the kernels.
      dtype: dtype of the computation.
    """

    kernel: Sequence[int]
    dilations: tuple[int, int] = (1, 1)
    norm: Callable[..., nn.Module] = layers.InstanceNorm
    act: Callable[[Array], Array] = jax.nn.relu
    kernel_init: layers.Initialiser = nn.initializers.lecun_normal()
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b *axes c"]) -> Float[Array, "b *axes c"]:
        """Applies the block to images or volumes."""
        conv = functools.partial(
            layers.Conv,
            x.shape[-1],
            self.kernel,
            adds_bias=_keeps_bias(self.norm),
            kernel_init=self.kernel_init,
            dtype=self.dtype,
        )
        first, second = self.dilations
        y = self.act(self.norm()(conv(dilation=first)(x)))
        y = conv(dilation=second)(y)
        return x + self.norm()(y)


class UpBlock(nn.Module):
    """Doubles height and width: resize, convolution, norm, activation.

    Resizing and convolving has the parameters of a strided transposed convolution without its
    checkerboard pattern.

    Attributes:
      features: number of output channels.
      norm: module class of the normalisation.
      act: activation function.
      kernel_init: initialiser of the kernels.
      dtype: dtype of the computation.
    """

    features: int
    norm: Callable[..., nn.Module] = layers.InstanceNorm
    act: Callable[[Array], Array] = jax.nn.relu
    kernel_init: layers.Initialiser = nn.initializers.lecun_normal()
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b 2*h 2*w features"]:
        """Applies the block to images."""
        x = layers.UpConv(
            self.features,
            adds_bias=_keeps_bias(self.norm),
            kernel_init=self.kernel_init,
            dtype=self.dtype,
        )(x)
        return self.act(self.norm()(x))


def _keeps_bias(norm):
    """Whether a bias before the norm changes anything after it."""
    # The other norms take their mean over the channels, too, so biases of single channels stay.
    return norm is not layers.InstanceNorm
