"""Convolutions as pure functions of arrays, in the form that is fastest on each platform.

All arrays are channels-last: images [B, H, W, C], volumes [B, H, W, D, C]. Each function equals the
plain convolution that it names to rounding; docs/performance.md has what was measured.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_LARGE = 24 * 24
"""The number of pixels from which on the gradient of a kernel is computed tap by tap on the CPU."""


def conv3d(
    x: Float[Array, "b h w d c"], kernel: Float[Array, "kh kw kd c o"]
) -> Float[Array, "b h w d o"]:
    """The 3D convolution with stride 1 and "SAME" padding, in the fastest form on each platform.

    On the CPU, XLA's own 3D convolution runs at a fraction of the speed of its 2D one, forward and
    backward. There it is computed as 2D ones: by Winograd's algorithm along the depth where that
    pays, else with the depth in the batch and the depth taps in the channels.
    """
    taps, depth, channels = kernel.shape[2], x.shape[3], min(kernel.shape[3:])
    # From how many channels and layers on it pays was measured. In half precision the algorithm's
    # sums and differences would cost too many of the bits.
    pays = taps == 3 and depth >= 4 and channels >= 16 and x.dtype == jnp.float32
    cpu = _conv3d_winograd if pays else _conv3d_folded
    return jax.lax.platform_dependent(x, kernel, cpu=cpu, default=conv)


def conv(
    x: Float[Array, "b *axes c"],
    kernel: Float[Array, "*taps c o"],
    stride: int = 1,
    dilation: int = 1,
    padding: str | Sequence[tuple[int, int]] = "SAME",
) -> Float[Array, "b *out o"]:
    """XLA's own convolution in one to three dimensions.

    Args:
      x: images or volumes.
      kernel: as many axes of taps as `x` has of space, then channels in and out.
      stride: the same along every axis.
      dilation: the same along every axis.
      padding: "SAME", "SAME_LOWER" or "VALID", or for each axis the pixels before and after.
    """
    if kernel.ndim == 4 and stride == dilation == 1 and not isinstance(padding, str):
        return _image_conv(x, kernel, tuple(padding))
    if kernel.ndim == 4 and stride == dilation == 1 and padding in ("SAME", "VALID"):
        pairs = [((taps - 1) // 2, taps // 2) for taps in kernel.shape[:2]]
        return _image_conv(x, kernel, tuple(pairs) if padding == "SAME" else ((0, 0), (0, 0)))
    return _plain_conv(x, kernel, stride, dilation, padding)


def _plain_conv(x, kernel, stride=1, dilation=1, padding="SAME"):
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


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _image_conv(x, kernel, padding):
    """The 2D convolution of stride 1, whose kernel has a gradient of its own on the CPU."""
    return _plain_conv(x, kernel, padding=padding)


def _image_conv_forward(x, kernel, padding):
    return _image_conv(x, kernel, padding), (x, kernel)


def _image_conv_backward(padding, kept, gradient):
    x, kernel = kept
    (of_x,) = jax.linear_transpose(lambda x: _plain_conv(x, kernel, padding=padding), x)(gradient)

    def usual(x, gradient):
        return jax.linear_transpose(lambda k: _plain_conv(x, k, padding=padding), kernel)(gradient)[
            0
        ]

    def by_taps(x, gradient):
        return _kernel_gradient(x, gradient, kernel.shape, padding).astype(kernel.dtype)

    # XLA makes it a convolution whose window is the whole image, which takes the CPU twice as long
    # as a product of matrices for each tap; on small images it is the quicker one.
    small = x.shape[1] * x.shape[2] < _LARGE
    cpu = usual if small else by_taps
    return of_x, jax.lax.platform_dependent(x, gradient, cpu=cpu, default=usual)


_image_conv.defvjp(_image_conv_forward, _image_conv_backward)


def _kernel_gradient(x, gradient, shape, padding):
    """The gradient of a kernel: for each tap, the product of the image and the shifted gradient.

    The one with fewer channels is shifted, as that copies it.
    """
    taps_y, taps_x, channels, features = shape
    # Padded so that image and gradient meet at every tap.
    if channels < features:
        shifted, still = jnp.pad(x, ((0, 0), *padding, (0, 0))), gradient
    else:
        ends = [(t - 1 - low, t - 1 - high) for t, (low, high) in zip(shape, padding)]
        shifted, still = jnp.pad(gradient, ((0, 0), *ends, (0, 0))), x
    height, width = still.shape[1:3]
    flat = still.reshape(-1, still.shape[3])

    def product(i, j):
        if channels >= features:
            i, j = taps_y - 1 - i, taps_x - 1 - j
        part = shifted[:, i : i + height, j : j + width].reshape(flat.shape[0], -1)
        pair = (part, flat) if channels < features else (flat, part)
        return jnp.einsum("nc,no->co", *pair, preferred_element_type=jnp.float32)

    rows = [jnp.stack([product(i, j) for j in range(taps_x)]) for i in range(taps_y)]
    return jnp.stack(rows)


def _conv3d_folded(x, kernel):
    """A 2D convolution of every layer, with the layers around it as further channels."""
    batch, height, width, depth, channels = x.shape
    taps = kernel.shape[2]
    padded = jnp.pad(x, ((0, 0), (0, 0), (0, 0), ((taps - 1) // 2, taps // 2), (0, 0)))
    shifted = jnp.concatenate([padded[:, :, :, t : t + depth] for t in range(taps)], axis=-1)
    folded = jnp.moveaxis(shifted, 3, 1).reshape(batch * depth, height, width, taps * channels)
    y = conv(folded, kernel.reshape(*kernel.shape[:2], taps * channels, -1))
    return jnp.moveaxis(y.reshape(batch, depth, height, width, -1), 1, 3)


def _conv3d_winograd(x, kernel):
    """Winograd's F(4, 3) along the depth: six 2D convolutions for four layers, not twelve.

    Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2016), section 4.
    """
    batch, height, width, depth, channels = x.shape
    # Four layers of the result to a tile; layers beyond the depth are computed and cut off.
    tiles = -(-depth // 4)
    padded = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (1, 4 * tiles - depth + 1), (0, 0)))
    # Layer i of every tile of six; tiles overlap by two.
    d = [padded[:, :, :, i : i + 4 * tiles - 3 : 4] for i in range(6)]
    # The three transforms of the algorithm: of the input, of the kernel, and back. Written out, as
    # most entries of their matrices are zero.
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
        return conv(flat, taps).reshape(batch, tiles, height, width, -1)

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


def depthwise_conv(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "kh kw c"],
    stride: int = 1,
    padding: str | Sequence[tuple[int, int]] = "SAME",
) -> Float[Array, "b i j c"]:
    """The 2D convolution of every channel by itself, in the fastest form on each platform.

    Args:
      x: images.
      kernel: the taps of each channel.
      stride: the same along both axes.
      padding: "SAME" or "VALID", or for each axis the pixels before and after.
    """
    taps_y, taps_x, channels = kernel.shape
    if isinstance(padding, str):
        taps = (taps_y, taps_x)
        padding = jax.lax.padtype_to_pads(x.shape[1:3], taps, (stride, stride), padding)

    def grouped(x, kernel):
        return jax.lax.conv_general_dilated(
            x,
            kernel[:, :, None],
            (stride, stride),
            padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=channels,
        )

    def by_taps(x, kernel):
        # XLA's grouped convolution takes the CPU ten times as long as the sum of shifted products.
        # The barriers keep what comes before from being computed anew for every tap.
        padded = jax.lax.optimization_barrier(jnp.pad(x, ((0, 0), *padding, (0, 0))))
        batch, height, width, _ = padded.shape
        ends = height - taps_y + 1, width - taps_x + 1

        # Not by indices, which take JAX far longer to trace than slices.
        def product(i, j):
            end = (batch, i + ends[0], j + ends[1], channels)
            part = jax.lax.slice(padded, (0, i, j, 0), end, (1, stride, stride, 1))
            return part * jax.lax.slice(kernel, (i, j, 0), (i + 1, j + 1, channels))[None]

        total = functools.reduce(
            jnp.add, [product(i, j) for i in range(taps_y) for j in range(taps_x)]
        )
        return total

    return jax.lax.platform_dependent(x, kernel, cpu=by_taps, default=grouped)


def upsample_conv(
    x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 c o"]
) -> Float[Array, "b 2*h 2*w o"]:
    """Nearest-neighbour doubling of height and width, then a 3x3 convolution with "SAME" padding.

    Each output pixel sees at most two by two input pixels, so the two are computed as one: a 2x2
    convolution for each of the four positions in a doubled pixel, with the kernel's taps that fall
    on the same input pixel added up. The same numbers for 4/9 of the multiplications.
    """
    # Along one axis: an even output pixel i sees the input pixels i / 2 - 1 and i / 2 through the
    # taps (first, second + third); an odd one (i - 1) / 2 and (i + 1) / 2 through the taps
    # (first + second, third). [position in the doubled pixel, input pixel, tap]
    taps = jnp.array([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], x.dtype)
    return _doubling_conv(x, kernel, taps)


def _doubling_conv(x, kernel, taps):
    """A 2x2 convolution for each position in a doubled pixel; see `upsample_conv` for `taps`."""
    batch, height, width, _ = x.shape
    # All four kernels as output channels of one convolution, which reads the input once.
    summed = jnp.einsum("pit,qju,tuco->ijcpqo", taps, taps, kernel)
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    y = conv(padded, summed.reshape(2, 2, x.shape[-1], -1), padding="VALID")
    y = y.reshape(batch, height + 1, width + 1, 2, 2, -1)
    # A doubled pixel's first position has its two input pixels one place before its second one.
    rows = jnp.stack([y[:, :-1, :, 0], y[:, 1:, :, 1]], axis=2)
    both = jnp.stack([rows[:, :, :, :-1, 0], rows[:, :, :, 1:, 1]], axis=4)
    return both.reshape(batch, 2 * height, 2 * width, -1)


def transposed_conv(
    x: Float[Array, "b h w c"], kernel: Float[Array, "4 4 c o"]
) -> Float[Array, "b 2*h 2*w o"]:
    """The transposed 4x4 convolution of stride 2 that doubles height and width.

    Along each axis input pixel i adds to output pixels 2 i - 1 + t through tap t. As in
    `upsample_conv`, each output pixel sees two by two input pixels.
    """
    # An even output pixel 2 m sees the input pixels m - 1 and m through the taps 3 and 1, an odd
    # one 2 m + 1 the input pixels m and m + 1 through the taps 2 and 0.
    taps = [[[0, 0, 0, 1], [0, 1, 0, 0]], [[0, 0, 1, 0], [1, 0, 0, 0]]]
    return _doubling_conv(x, kernel, jnp.array(taps, x.dtype))
