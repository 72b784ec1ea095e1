"""Convolution in two and three dimensions, normalisation, upsampling, lifting.

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

Dtype = Any
Initialiser = Callable[..., Array]

PRECISIONS = ("float32", "bfloat16", "float16")
"""What networks can compute in; parameters, norms and losses are float32 in any case."""


def precision(name: str) -> Dtype:
    """The dtype of a config's `precision`.

    Raises:
      UserError: there is no such precision.
    """
    if name not in PRECISIONS:
        hint = did_you_mean(name, PRECISIONS)
        raise UserError(f"config.precision: unknown precision {name!r}; {hint}")
    return jnp.dtype(name)


def depth_tied(depth: int, axis: int) -> Initialiser:
    """Kernels that start the same for every depth layer of a volume that is folded into channels.

    A lifted feature is read by whatever depth layer its part is moved to. With independent random
    kernels every layer starts in a code of its own, and what arrives from several of them averages
    to grey; a network that starts with one code learns to carry colours in a fraction of the steps.
    Training is free to let the layers part.

    Args:
      depth: of the volume; channel d * C + c is channel c of layer d.
      axis: the kernel's axis that is tied: -1 for a convolution that is lifted afterwards, -2 for
        one that reads a flattened volume.
    """

    def initialise(key, shape, dtype=jnp.float32):
        small = list(shape)
        small[axis] //= depth
        kernel = nn.initializers.lecun_normal()(key, tuple(small), dtype)
        # The same variance of the result as without tying, for layers that are independent.
        scale = depth**-0.5 if axis == -2 else 1.0
        return jnp.concatenate([kernel * scale] * depth, axis=axis)

    return initialise


class Conv(nn.Module):
    """A convolution that keeps the size, or divides it by the stride; 2D or 3D like its kernel.

    Attributes:
      features: output channels.
      kernel: size along each axis; three sizes make a 3D convolution (H, W, D).
      stride: the same along every axis.
      dilation: the same along every axis.
      padding: "SAME", or "SAME_LOWER": where the padding is odd, whether the pixel more goes to the
        end of each axis or to its start; or "VALID"; or for each axis the pixels before and after.
      has_bias: False: there is no such parameter.
      adds_bias: False leaves the bias out of the sum, not out of the parameters, which published
        counts include. For convolutions before a norm that would subtract it again: its gradient
        would be rounding errors, and Adam would make steps of its full rate of them.
      kernel_init: initialiser of the kernel.
      dtype: of the computation.
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
        shape = (*self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32).astype(self.dtype)
        x = x.astype(self.dtype)
        if len(self.kernel) == 3 and self.stride == self.dilation == 1:
            y = conv3d(x, kernel)
        else:
            y = _conv(x, kernel, self.stride, self.dilation, self.padding)
        if not self.has_bias:
            return y
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32)
        return y + bias.astype(self.dtype) if self.adds_bias else y


def conv3d(
    x: Float[Array, "b h w d c"], kernel: Float[Array, "kh kw kd c o"]
) -> Float[Array, "b h w d o"]:
    """3D convolution, stride 1, "SAME": the fastest form on each platform.

    On the CPU, XLA's own 3D convolution runs at a fraction of the speed of its 2D one, forward and
    backward, so there it becomes 2D ones: by Winograd's algorithm along the depth where that pays,
    else with the depth in the batch and the depth taps in the channels. docs/performance.md has
    what was measured.
    """
    taps, depth, channels = kernel.shape[2], x.shape[3], min(kernel.shape[3:])
    # Its sums and differences would cost half precision too many of its bits.
    pays = taps == 3 and depth >= 4 and channels >= 16 and x.dtype == jnp.float32
    cpu = _conv3d_winograd if pays else _conv3d_folded
    return jax.lax.platform_dependent(x, kernel, cpu=cpu, default=_conv)


def _conv(x, kernel, stride=1, dilation=1, padding="SAME"):
    axes = kernel.ndim - 2
    spatial = "HWD"[:axes]
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride,) * axes,
        padding,
        rhs_dilation=(dilation,) * axes,
        dimension_numbers=(f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
    )


def _conv3d_folded(x, kernel):
    batch, height, width, depth, channels = x.shape
    taps = kernel.shape[2]
    padded = jnp.pad(x, ((0, 0), (0, 0), (0, 0), ((taps - 1) // 2, taps // 2), (0, 0)))
    shifted = jnp.concatenate([padded[:, :, :, t : t + depth] for t in range(taps)], axis=-1)
    folded = jnp.moveaxis(shifted, 3, 1).reshape(batch * depth, height, width, taps * channels)
    y = _conv(folded, kernel.reshape(*kernel.shape[:2], taps * channels, -1))
    return jnp.moveaxis(y.reshape(batch, depth, height, width, -1), 1, 3)


def _conv3d_winograd(x, kernel):
    """Winograd's F(4, 3) along the depth: six 2D convolutions for four layers, not twelve.

    Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2016), section 4.
    """
    batch, height, width, depth, channels = x.shape
    tiles = -(-depth // 4)
    padded = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (1, 4 * tiles - depth + 1), (0, 0)))
    # Layer i of every tile of six; tiles overlap by two.
    d = [padded[:, :, :, i : i + 4 * tiles - 3 : 4] for i in range(6)]
    combined = (
        4 * d[0] - 5 * d[2] + d[4],
        -4 * (d[1] + d[2]) + d[3] + d[4],
        4 * (d[1] - d[2]) - d[3] + d[4],
        2 * (d[3] - d[1]) - d[2] + d[4],
        2 * (d[1] - d[3]) - d[2] + d[4],
        4 * d[1] - 5 * d[3] + d[5],
    )
    g = [kernel[:, :, t] for t in range(3)]
    even, odd = g[0] + g[2], g[0] / 24 + g[2] / 6
    kernels = (
        g[0] / 4,
        -(even + g[1]) / 6,
        -(even - g[1]) / 6,
        odd + g[1] / 12,
        odd - g[1] / 12,
        g[2],
    )

    def product(layer, taps):
        flat = jnp.moveaxis(layer, 3, 1).reshape(batch * tiles, height, width, channels)
        return _conv(flat, taps).reshape(batch, tiles, height, width, -1)

    m = [product(layer, taps) for layer, taps in zip(combined, kernels)]
    y = jnp.stack(
        (
            m[0] + m[1] + m[2] + m[3] + m[4],
            m[1] - m[2] + 2 * (m[3] - m[4]),
            m[1] + m[2] + 4 * (m[3] + m[4]),
            m[1] - m[2] + 8 * (m[3] - m[4]) + m[5],
        ),
        axis=2,
    ).reshape(batch, 4 * tiles, height, width, -1)
    return jnp.moveaxis(y[:, :depth], 1, 3)


class InstanceNorm(nn.Module):
    """Zero mean and unit variance per example and channel (seed 000, section 2.1.5).

    Without parameters: so the counts are those of seed 000, table 6.16. Statistics are float32
    whatever the input is; the result has the input's dtype.
    """

    @nn.compact
    def __call__(self, x: Float[Array, "b *axes c"]) -> Float[Array, "b *axes c"]:
        norm = nn.InstanceNorm(
            epsilon=1e-5, use_bias=False, use_scale=False, use_fast_variance=False
        )
        # In float32 from here on: with an input of half precision Flax would compute the statistics
        # in float32, too, but add up the parts of the gradient in half precision.
        return norm(x.astype(jnp.float32)).astype(x.dtype)


class LayerNorm(nn.Module):
    """Zero mean and unit variance per example, over space and channels; scale and bias a channel.

    Ba et al. 2016; what a critic with gradient penalty has in the place of other norms (seed 000,
    section 4.4). Statistics are float32 whatever the input is; the result has the input's dtype.
    """

    @nn.compact
    def __call__(self, x: Float[Array, "b *axes c"]) -> Float[Array, "b *axes c"]:
        axes = tuple(range(1, x.ndim))
        y = nn.LayerNorm(epsilon=1e-5, reduction_axes=axes, use_fast_variance=False)(
            x.astype(jnp.float32)
        )
        return y.astype(x.dtype)


class SampleNorm(nn.Module):
    """Zero mean and unit variance per example, over space and channels; one scale and one bias.

    The instance norm of pose-gan: that of keras-contrib without an axis. Statistics are float32
    whatever the input is; the result has the input's dtype.
    """

    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Float[Array, "b *axes c"]) -> Float[Array, "b *axes c"]:
        scale = self.param("scale", nn.initializers.ones_init(), (), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros_init(), (), jnp.float32)
        axes = tuple(range(1, x.ndim))
        y = x.astype(jnp.float32)
        mean = jnp.mean(y, axis=axes, keepdims=True)
        variance = jnp.mean(jnp.square(y - mean), axis=axes, keepdims=True)
        y = (y - mean) * (scale * jax.lax.rsqrt(variance + self.epsilon)) + bias
        return y.astype(x.dtype)


NORMS = {"instance": InstanceNorm, "layer": LayerNorm}
"""Normalisations by the name that a config gives them."""


class UpConv(nn.Module):
    """Doubles height and width (nearest neighbour), then a 3x3 convolution with "SAME" padding.

    Each output pixel sees at most two by two input pixels, so the two are computed as one: a 2x2
    convolution for each of the four positions in a doubled pixel, with the kernel's taps that fall
    on the same input pixel added up. The same numbers for 4/9 of the multiplications.

    `adds_bias` is that of `Conv`.
    """

    features: int
    adds_bias: bool = True
    kernel_init: Initialiser = nn.initializers.lecun_normal()
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b 2*h 2*w features"]:
        shape = (3, 3, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32)
        y = upsample_conv(x.astype(self.dtype), kernel.astype(self.dtype))
        return y + bias.astype(self.dtype) if self.adds_bias else y


def upsample_conv(
    x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 c o"]
) -> Float[Array, "b 2*h 2*w o"]:
    """Nearest-neighbour doubling followed by a 3x3 convolution, "SAME"; see `UpConv`."""
    # Along one axis: an even output pixel i sees the input pixels i / 2 - 1 and i / 2 through the
    # taps (first, second + third); an odd one (i - 1) / 2 and (i + 1) / 2 through the taps
    # (first + second, third). [position in the doubled pixel, input pixel, tap]
    taps = jnp.array([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], x.dtype)
    return _doubling_conv(x, kernel, taps)


def _doubling_conv(x, kernel, taps):
    """A 2x2 convolution for each position in a doubled pixel; see `upsample_conv` for `taps`."""
    batch, height, width, _ = x.shape
    summed = jnp.einsum("pit,qju,tuco->ijcpqo", taps, taps, kernel)
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    y = jax.lax.conv_general_dilated(
        padded,
        summed.reshape(2, 2, x.shape[-1], -1),
        (1, 1),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    ).reshape(batch, height + 1, width + 1, 2, 2, -1)
    rows = jnp.stack([y[:, :-1, :, 0], y[:, 1:, :, 1]], axis=2)
    both = jnp.stack([rows[:, :, :, :-1, 0], rows[:, :, :, 1:, 1]], axis=4)
    return both.reshape(batch, 2 * height, 2 * width, -1)


class ConvTranspose(nn.Module):
    """Transposed 4x4 convolution of stride 2 that doubles height and width, without a bias.

    It equals `torch.nn.ConvTranspose2d(c, features, 4, 2, 1)`, and a "valid" one with its outermost
    pixels cropped. Each output pixel sees two by two input pixels; see `UpConv`.
    """

    features: int
    # Of the kernel's 16 taps an output pixel sees four.
    kernel_init: Initialiser = nn.initializers.variance_scaling(4.0, "fan_in", "truncated_normal")
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b 2*h 2*w features"]:
        shape = (4, 4, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        return transposed_conv(x.astype(self.dtype), kernel.astype(self.dtype))


def transposed_conv(
    x: Float[Array, "b h w c"], kernel: Float[Array, "4 4 c o"]
) -> Float[Array, "b 2*h 2*w o"]:
    """Input pixel i adds to output pixels 2 i - 1 + t through tap t; see `ConvTranspose`."""
    # An even output pixel 2 m sees the input pixels m - 1 and m through the taps 3 and 1, an odd
    # one 2 m + 1 the input pixels m and m + 1 through the taps 2 and 0.
    taps = [[[0, 0, 0, 1], [0, 1, 0, 0]], [[0, 0, 1, 0], [1, 0, 0, 0]]]
    return _doubling_conv(x, kernel, jnp.array(taps, x.dtype))


def lift(x: Float[Array, "b h w dc"], depth: int) -> Float[Array, "b h w d c"]:
    """Image features to a volume: channel d * C + c becomes depth d, channel c (seed 000, 4.3.1).

    Raises:
      ValueError: the channels do not divide by the depth.
    """
    if x.shape[-1] % depth:
        raise ValueError(f"cannot lift {x.shape[-1]} channels to depth {depth}: not a multiple.")
    return x.reshape(*x.shape[:-1], depth, -1)


def flatten_depth(x: Float[Array, "b h w d c"]) -> Float[Array, "b h w dc"]:
    """The inverse of `lift`."""
    return x.reshape(*x.shape[:-2], -1)


def leaky_relu(x: Array) -> Array:
    """Slope 0.2 for negative values."""
    return jax.nn.leaky_relu(x, 0.2)
