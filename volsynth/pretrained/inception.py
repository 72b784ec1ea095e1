"""Inception-v3 (Szegedy et al. 2016) as Fréchet distances and Inception scores use it.

This is the network of December 2015, with 1008 outputs. Its average pools do not count the padding,
and its last block takes a maximum where the others take an average, as in the graph that its
weights were published in. torchvision's network does neither, so that its features give other
distances; but the names of modules are torchvision's.
"""

import dataclasses
from collections.abc import Iterator, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volsynth.errors import UserError

SIDE = 299
"""The height and width that every image is resized to, in pixels."""

RESIZE = "bilinear"
"""The resizing of images: between pixel centres (PyTorch: align_corners=False), not antialiased."""

POOLED = 2048
"""The number of features after the last average pool, which Fréchet distances compare."""

CLASSES = 1008
"""The number of outputs: ImageNet's thousand classes, and eight that were never trained.

The eight have a share of the softmax all the same, so that they cannot be left out.
"""

# Added to the variance by every batch normalisation of the published network.
_EPSILON = 1e-3


@dataclasses.dataclass(frozen=True)
class _Conv:
    """A convolution without bias, a normalisation and a ReLU."""

    name: str
    outputs: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padding: str = "SAME"


# Steps between convolutions: pools over 3x3 pixels; the last one has stride 2.
_AVERAGE, _MAXIMUM, _HALVE = "average", "maximum", "halve"


def _chain(*steps):
    return steps


def _stem():
    return (
        _chain(
            _Conv("Conv2d_1a_3x3", 32, (3, 3), 2, "VALID"),
            _Conv("Conv2d_2a_3x3", 32, (3, 3), 1, "VALID"),
            _Conv("Conv2d_2b_3x3", 64, (3, 3)),
            _HALVE,
            _Conv("Conv2d_3b_1x1", 80),
            _Conv("Conv2d_4a_3x3", 192, (3, 3), 1, "VALID"),
            _HALVE,
        ),
    )


def _inception_a(pooled):
    """The blocks at 35x35 pixels."""
    return (
        _chain(_Conv("branch1x1", 64)),
        _chain(_Conv("branch5x5_1", 48), _Conv("branch5x5_2", 64, (5, 5))),
        _chain(
            _Conv("branch3x3dbl_1", 64),
            _Conv("branch3x3dbl_2", 96, (3, 3)),
            _Conv("branch3x3dbl_3", 96, (3, 3)),
        ),
        _chain(_AVERAGE, _Conv("branch_pool", pooled)),
    )


def _inception_b():
    """The block from 35x35 to 17x17 pixels."""
    return (
        _chain(_Conv("branch3x3", 384, (3, 3), 2, "VALID")),
        _chain(
            _Conv("branch3x3dbl_1", 64),
            _Conv("branch3x3dbl_2", 96, (3, 3)),
            _Conv("branch3x3dbl_3", 96, (3, 3), 2, "VALID"),
        ),
        _chain(_HALVE),
    )


def _inception_c(inner):
    """The blocks at 17x17 pixels: row and column kernels in turn (the paper's figure 6)."""
    return (
        _chain(_Conv("branch1x1", 192)),
        _chain(
            _Conv("branch7x7_1", inner),
            _Conv("branch7x7_2", inner, (1, 7)),
            _Conv("branch7x7_3", 192, (7, 1)),
        ),
        _chain(
            _Conv("branch7x7dbl_1", inner),
            _Conv("branch7x7dbl_2", inner, (7, 1)),
            _Conv("branch7x7dbl_3", inner, (1, 7)),
            _Conv("branch7x7dbl_4", inner, (7, 1)),
            _Conv("branch7x7dbl_5", 192, (1, 7)),
        ),
        _chain(_AVERAGE, _Conv("branch_pool", 192)),
    )


def _inception_d():
    """The block from 17x17 to 8x8 pixels."""
    return (
        _chain(_Conv("branch3x3_1", 192), _Conv("branch3x3_2", 320, (3, 3), 2, "VALID")),
        _chain(
            _Conv("branch7x7x3_1", 192),
            _Conv("branch7x7x3_2", 192, (1, 7)),
            _Conv("branch7x7x3_3", 192, (7, 1)),
            _Conv("branch7x7x3_4", 192, (3, 3), 2, "VALID"),
        ),
        _chain(_HALVE),
    )


def _row_and_column(name):
    """A row kernel and a column kernel side by side, both on the same input."""
    return (_Conv(f"{name}a", 384, (1, 3)), _Conv(f"{name}b", 384, (3, 1)))


def _inception_e(pool):
    """The blocks at 8x8 pixels (the paper's figure 7)."""
    return (
        _chain(_Conv("branch1x1", 320)),
        _chain(_Conv("branch3x3_1", 384), _row_and_column("branch3x3_2")),
        _chain(
            _Conv("branch3x3dbl_1", 448),
            _Conv("branch3x3dbl_2", 384, (3, 3)),
            _row_and_column("branch3x3dbl_3"),
        ),
        _chain(pool, _Conv("branch_pool", 192)),
    )


# The convolutions before the first block belong to no module of their own.
_STEM = ""

# The branches of every block, from the image inward; their results are joined along the channels.
_BLOCKS = {
    _STEM: _stem(),
    "Mixed_5b": _inception_a(32),
    "Mixed_5c": _inception_a(64),
    "Mixed_5d": _inception_a(64),
    "Mixed_6a": _inception_b(),
    "Mixed_6b": _inception_c(128),
    "Mixed_6c": _inception_c(160),
    "Mixed_6d": _inception_c(160),
    "Mixed_6e": _inception_c(192),
    "Mixed_7a": _inception_d(),
    "Mixed_7b": _inception_e(_AVERAGE),
    "Mixed_7c": _inception_e(_MAXIMUM),
}

BLOCKS = tuple(_BLOCKS)
"""The names of all blocks, from the image inward; the first, without a name, is the stem."""

Parameters = Mapping[str, Mapping[str, Array | np.ndarray]]
"""Weights by module: "kernel" (height, width, inputs, outputs; "fc": inputs, outputs), "bias"."""


def _named(block: str, conv: _Conv) -> str:
    return f"{block}.{conv.name}" if block else conv.name


def _side_by_side(step: _Conv | tuple[_Conv, ...]) -> tuple[_Conv, ...]:
    return step if isinstance(step, tuple) else (step,)


def _shapes() -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    """Names of all convolutions, and the shapes of their kernels."""
    # Follows the channels through the network, so that no shape has to be written down.
    inputs = 3
    for block, branches in _BLOCKS.items():
        joined = 0
        for branch in branches:
            channels = inputs
            for step in branch:
                if isinstance(step, str):
                    continue
                convs = _side_by_side(step)
                for conv in convs:
                    yield _named(block, conv), (*conv.kernel, channels, conv.outputs)
                channels = sum(conv.outputs for conv in convs)
            joined += channels
        inputs = joined


SHAPES: Mapping[str, tuple[int, int, int, int]] = dict(_shapes())
"""The shapes of the kernels: height, width, input and output channels."""


def torch_layout() -> dict[str, tuple[int, ...]]:
    """Returns name -> shape of the arrays in the state dict of the network's port to PyTorch."""
    layout: dict[str, tuple[int, ...]] = {}
    for name, (height, width, inputs, outputs) in SHAPES.items():
        layout[f"{name}.conv.weight"] = (outputs, inputs, height, width)
        for part in ("weight", "bias", "running_mean", "running_var"):
            layout[f"{name}.bn.{part}"] = (outputs,)
    return layout | {"fc.weight": (CLASSES, POOLED), "fc.bias": (CLASSES,)}


def from_torch(arrays: Mapping[str, np.ndarray]) -> Parameters:
    """Converts arrays named as in `torch_layout` to float32 parameters.

    The batch normalisations, which do not change any more, become part of kernels and biases.

    Raises:
      UserError: a variance is negative.
    """
    found = {}
    for name in SHAPES:
        # In float64, so that merging the normalisation costs no more than one rounding.
        kernel = arrays[f"{name}.conv.weight"].astype(np.float64)
        gain, bias, mean, variance = (
            arrays[f"{name}.bn.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        # A damaged file: the root would make the kernels NaN without a word.
        if np.any(variance < 0):
            raise UserError(
                f"weights of Inception-v3: '{name}.bn.running_var': expected variances, found"
                f" {variance.min():g}; get the file again (docs/weights.md)."
            )
        gain = gain / np.sqrt(variance + _EPSILON)
        found[name] = {
            "kernel": np.float32(kernel.transpose(2, 3, 1, 0) * gain),
            "bias": np.float32(bias - mean * gain),
        }
    found["fc"] = {
        # Linear layers of PyTorch have the outputs first.
        "kernel": np.float32(np.ascontiguousarray(arrays["fc.weight"].T)),
        "bias": np.float32(arrays["fc.bias"]),
    }
    return found


def resize(image: Float[Array, "b h w 3"]) -> Float[Array, "b s s 3"]:
    """Resizes images to `SIDE` x `SIDE` pixels, float32; images of this size stay as they are."""
    # Without antialiasing, as the port does; with it, distances would be others.
    return jax.image.resize(
        image.astype(jnp.float32), (image.shape[0], SIDE, SIDE, 3), RESIZE, antialias=False
    )


def apply_block(
    parameters: Parameters, name: str, x: Float[Array, "b h w c"]
) -> Float[Array, "b _h _w _c"]:
    """Computes a block of `BLOCKS` from the features before it."""
    results = []
    for branch in _BLOCKS[name]:
        y = x
        for step in branch:
            if isinstance(step, str):
                y = _pool(step, y)
            else:
                convs = _side_by_side(step)
                parts = [_convolve(parameters[_named(name, conv)], conv, y) for conv in convs]
                y = jnp.concatenate(parts, axis=-1)
        results.append(y)
    return jnp.concatenate(results, axis=-1)


def pooled_features(
    parameters: Parameters, image: Float[Array, "b h w 3"]
) -> Float[Array, "b 2048"]:
    """Computes the means over all pixels after the last block, of images that are not resized."""
    for name in BLOCKS:
        image = apply_block(parameters, name, image)
    return jnp.mean(image, axis=(1, 2))


def outputs(
    parameters: Parameters, image: Float[Array, "b h w 3"]
) -> dict[str, Float[Array, "b _"]]:
    """Computes the features and probabilities that scores use, in full float32 on every device.

    Args:
      parameters: the weights of all modules.
      image: RGB images in [-1, 1], of any size.

    Returns:
      "pool": `POOLED` features; "logits" of `CLASSES`; "probabilities" of `CLASSES`, computed
      without the bias of the last layer, as by the program that the Inception scores of papers come
      from.
    """
    features = pooled_features(parameters, resize(image))
    # The bias is added for the logits only; the probabilities do without.
    unbiased = jnp.dot(
        features, jnp.asarray(parameters["fc"]["kernel"]), precision=jax.lax.Precision.HIGHEST
    )
    return {
        "pool": features,
        "logits": unbiased + jnp.asarray(parameters["fc"]["bias"])[None, :],
        "probabilities": jax.nn.softmax(unbiased, axis=-1),
    }


def _convolve(parameters, conv, x):
    x = jax.lax.conv_general_dilated(
        x,
        jnp.asarray(parameters["kernel"]),
        (conv.stride, conv.stride),
        conv.padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        # Accelerators multiply float32 in fewer bits by default, and a score must not depend on
        # the device.
        precision=jax.lax.Precision.HIGHEST,
    )
    return jax.nn.relu(x + jnp.asarray(parameters["bias"])[None, None, None, :])


def _pool(step, x):
    if step == _AVERAGE:
        # torchvision's network counts the padding, which makes other features at the border.
        return nn.avg_pool(x, (3, 3), (1, 1), "SAME", count_include_pad=False)
    if step == _MAXIMUM:
        return nn.max_pool(x, (3, 3), (1, 1), "SAME")
    # Without padding, as the published graph halves: 35 pixels become 17, and those 8.
    return nn.max_pool(x, (3, 3), (2, 2), "VALID")
