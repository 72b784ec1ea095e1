"""The blocks that networks are made of; each takes its convolution, norm and activation."""

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from volsynth.nn import layers


def maybe_remat(block: type[nn.Module], remat: bool) -> type[nn.Module]:
    """The block itself, or with `remat` one that keeps only its input for the backward pass.

    What is between is computed again then: about a third more time for less memory. Give the block
    a name: Flax's own would differ between the two, and so would checkpoints.
    """
    return nn.remat(block) if remat else block


class ConvBlock(nn.Module):
    """Convolution, norm, activation.

    Attributes:
      features: output channels.
      kernel: size along each axis.
      stride: the same along every axis.
      padding: see `layers.Conv`.
      norm: module class of the normalisation.
      act: activation function.
      kernel_init: initialiser of the kernels.
      dtype: of the computation.
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
    """Two convolutions around a skip, C I R C I as in CycleGAN; channels stay the same.

    With `dilations=(4, 8)` and a 2D kernel it is the dilation block of seed 000, section 4.3.3.
    """

    kernel: Sequence[int]
    dilations: tuple[int, int] = (1, 1)
    norm: Callable[..., nn.Module] = layers.InstanceNorm
    act: Callable[[Array], Array] = jax.nn.relu
    kernel_init: layers.Initialiser = nn.initializers.lecun_normal()
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b *axes c"]) -> Float[Array, "b *axes c"]:
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

    Resize and convolution has the parameters of a strided transposed convolution, and no
    checkerboard.
    """

    features: int
    norm: Callable[..., nn.Module] = layers.InstanceNorm
    act: Callable[[Array], Array] = jax.nn.relu
    kernel_init: layers.Initialiser = nn.initializers.lecun_normal()
    dtype: layers.Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b 2*h 2*w features"]:
        x = layers.UpConv(
            self.features,
            adds_bias=_keeps_bias(self.norm),
            kernel_init=self.kernel_init,
            dtype=self.dtype,
        )(x)
        return self.act(self.norm()(x))


def _keeps_bias(norm):
    """Whether a bias before the norm changes anything after it."""
    return norm is not layers.InstanceNorm
