"""Layers of networks: convolutions in two and three dimensions, norms, upsampling, lifting.

All modules work on channels-last arrays; a volume is [B, H, W, D, C]. Parameters are float32;
`dtype` is that of the computation. Normalisation computes its statistics in float32.
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from volsynth.errors import UserError, did_you_mean
from volsynth.ops import convolution

Dtype = Any
"""A dtype in any form that NumPy accepts."""

Initialiser = Callable[..., Array]
"""A function of (key, shape, dtype) that makes the first values of a parameter."""

PRECISIONS = ("float32", "bfloat16", "float16")
"""Dtypes that networks can compute in; parameters, norms and losses are float32 in any case."""


def precision(name: str) -> Dtype:
    """The dtype that a config's `precision` names.

    Raises:
      UserError: there is no such precision.
    """
    if name not in PRECISIONS:
        hint = did_you_mean(name, PRECISIONS)
        raise UserError(f"config.precision: unknown precision {name!r}; {hint}")
    return jnp.dtype(name)


def depth_tied(depth: int, axis: int) -> Initialiser:
    """An initialiser of kernels: every depth layer of a volume in the channels starts the same.

    A lifted feature is read by whatever depth layer its part is moved to. With independent random
    kernels every layer starts in a code of its own, and what arrives from several of them averages
    to grey; a network that starts with one code learns to carry colours in a fraction of the steps.
    Training is free to let the layers part.

    Args:
      depth: number of layers of the volume; channel d * C + c is channel c of layer d.
      axis: the kernel's axis that is tied: -1 for a convolution that is lifted afterwards, -2 for
        one that reads a flattened volume.
    """

    def initialise(key, shape, dtype=jnp.float32):
        small = list(shape)
        small[axis] //= depth
        kernel = nn.initializers.lecun_normal()(key, tuple(small), dtype)
        # The initialiser has seen a fraction 1 / depth of the input channels. Scaled so, results
        # have the variance that they would have without tying, for layers that are independent.
        scale = depth**-0.5 if axis == -2 else 1.0
        return jnp.concatenate([kernel * scale] * depth, axis=axis)

    return initialise


class Conv(nn.Module):
    """A convolution that keeps the size, or divides it by the stride; 2D or 3D like its kernel.

    Attributes:
      features: number of output channels.
      kernel: size along each axis; three sizes make a 3D convolution (H, W, D).
      stride: the same along every axis.
      dilation: the same along every axis.
      padding: "SAME", or "SAME_LOWER": where the padding is odd, whether the pixel more goes to the
        end of each axis or to its start; or "VALID"; or for each axis the pixels before and after.
      has_bias: whether there is a bias among the parameters.
      adds_bias: whether the bias is added to the result; where not, it is a parameter all the same,
        as the published counts of parameters include it.
      kernel_init: initialiser of the kernel.
      dtype: dtype of the computation.
    """

    features: int
    kernel: Sequence[int]
    stride: int = 1
    dilation: int = 1
    padding: str | Sequence[tuple[int, int]] = "SAME"
    has_bias: bool = True
    adds_bias: bool = True
    kernel_init: Initialiser = nn.initializers.lecun_normal()
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b *axes c"]) -> Float[Array, "b *out features"]:
        """Convolves images or volumes."""
        shape = (*self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32).astype(self.dtype)
        x = x.astype(self.dtype)
        # The faster forms of 3D convolution know no stride, no dilation and no other padding.
        plain = self.stride == self.dilation == 1 and self.padding == "SAME"
        if len(self.kernel) == 3 and plain:
            y = convolution.conv3d(x, kernel)
        else:
            y = convolution.conv(x, kernel, self.stride, self.dilation, self.padding)
        if not self.has_bias:
            return y
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32)
        # Not before a norm that would subtract it again: its gradient would be rounding errors, of
        # which Adam would make steps of its full rate (docs/volumetric.md).
        return y + bias.astype(self.dtype) if self.adds_bias else y


class InstanceNorm(nn.Module):
    """Zero mean and unit variance per example and channel (Knoche 2019, section 2.1.5).

    It has no parameters, as the counts of Knoche 2019, table 6.16, have none for it. Statistics are
    float32 whatever the input is; the result has the input's dtype.
    """

    @nn.compact
    def __call__(self, x: Float[Array, "b *axes c"]) -> Float[Array, "b *axes c"]:
        """Normalises over space."""
        norm = nn.InstanceNorm(
            epsilon=1e-5, use_bias=False, use_scale=False, use_fast_variance=False
        )
        # In float32 from here on: with an input of half precision Flax would compute the statistics
        # in float32, too, but add up the parts of the gradient in half precision.
        return norm(x.astype(jnp.float32)).astype(x.dtype)


class LayerNorm(nn.Module):
    """Zero mean and unit variance per example, with a scale and a bias for each channel.

    Ba et al. 2016; what a critic with gradient penalty has in the place of other norms (Knoche
    2019, section 4.4). Statistics are float32 whatever the input is; the result has the input's
    dtype.
    """

    @nn.compact
    def __call__(self, x: Float[Array, "b *axes c"]) -> Float[Array, "b *axes c"]:
        """Normalises over space and channels."""
        axes = tuple(range(1, x.ndim))
        # The fast variance, the mean of squares minus the squared mean, can cancel to rounding.
        y = nn.LayerNorm(epsilon=1e-5, reduction_axes=axes, use_fast_variance=False)(
            x.astype(jnp.float32)
        )
        return y.astype(x.dtype)


class SampleNorm(nn.Module):
    """Zero mean and unit variance per example, with one scale and one bias for all channels.

    The code of pose-gan calls it instance norm: it is that of keras-contrib without an axis.
    Statistics are float32 whatever the input is; the result has the input's dtype.

    Attributes:
      epsilon: added to the variance, so that a constant input has a finite gradient.
    """

    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Float[Array, "b *axes c"]) -> Float[Array, "b *axes c"]:
        """Normalises over space and channels."""
        scale = self.param("scale", nn.initializers.ones_init(), (), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros_init(), (), jnp.float32)
        axes = tuple(range(1, x.ndim))
        y = x.astype(jnp.float32)
        mean = jnp.mean(y, axis=axes, keepdims=True)
        variance = jnp.mean(jnp.square(y - mean), axis=axes, keepdims=True)
        y = (y - mean) * (scale * jax.lax.rsqrt(variance + self.epsilon)) + bias
        return y.astype(x.dtype)


NORMS = {"instance": InstanceNorm, "layer": LayerNorm}
"""Module classes of the norms, by the names that a config gives them."""


class UpConv(nn.Module):
    """Doubles height and width (nearest neighbour), then convolves by 3x3 with "SAME" padding.

    See `convolution.upsample_conv` for how the two are computed as one.

    Attributes:
      features: number of output channels.
      adds_bias: see `Conv`.
      kernel_init: initialiser of the kernel.
      dtype: dtype of the computation.
    """

    features: int
    adds_bias: bool = True
    kernel_init: Initialiser = nn.initializers.lecun_normal()
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b 2*h 2*w features"]:
        """Doubles images and convolves them."""
        shape = (3, 3, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32)
        y = convolution.upsample_conv(x.astype(self.dtype), kernel.astype(self.dtype))
        return y + bias.astype(self.dtype) if self.adds_bias else y


class ConvTranspose(nn.Module):
    """A transposed 4x4 convolution of stride 2 that doubles height and width, without a bias.

    It equals `torch.nn.ConvTranspose2d(c, features, 4, 2, 1)`, and a "valid" one with its outermost
    pixels cropped.

    Attributes:
      features: number of output channels.
      kernel_init: initialiser of the kernel.
      dtype: dtype of the computation.
    """

    features: int
    # An output pixel sees four of the kernel's 16 taps; the initialiser counts all, hence the 4.
    kernel_init: Initialiser = nn.initializers.variance_scaling(4.0, "fan_in", "truncated_normal")
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b 2*h 2*w features"]:
        """Doubles images."""
        shape = (4, 4, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        return convolution.transposed_conv(x.astype(self.dtype), kernel.astype(self.dtype))


def lift(x: Float[Array, "b h w dc"], depth: int) -> Float[Array, "b h w d c"]:
    """Turns image features into a volume: channel d * C + c is channel c of layer d (4.3.1).

    Raises:
      ValueError: the channels do not divide by the depth.
    """
    if x.shape[-1] % depth:
        raise ValueError(f"cannot lift {x.shape[-1]} channels to depth {depth}: not a multiple.")
    return x.reshape(*x.shape[:-1], depth, -1)


def flatten_depth(x: Float[Array, "b h w d c"]) -> Float[Array, "b h w dc"]:
    """Turns a volume into image features, with its layers as channels: the inverse of `lift`."""
    return x.reshape(*x.shape[:-2], -1)


def leaky_relu(x: Array) -> Array:
    """The leaky ReLU with slope 0.2 for negative values."""
    return jax.nn.leaky_relu(x, 0.2)
