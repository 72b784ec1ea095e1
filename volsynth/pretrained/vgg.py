"""The feature layers of VGG-19 (Simonyan and Zisserman 2015, configuration E).

Layers have the names of Keras, `block1_conv1` to `block5_conv4`; the features of a layer are those
after its ReLU.
"""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volsynth.errors import UserError, did_you_mean

# Channels and number of convolutions of every block; a maximum over 2x2 pixels with stride 2 stands
# between two blocks.
_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))

_CONVOLUTIONS = [
    (f"block{block}_conv{number}", channels, block)
    for block, (channels, count) in enumerate(_BLOCKS, start=1)
    for number in range(1, count + 1)
]

LAYERS = tuple(name for name, _, _ in _CONVOLUTIONS)
"""The names of all convolutions, from the image inward."""

_OUTPUTS = tuple(channels for _, channels, _ in _CONVOLUTIONS)

SHAPES: Mapping[str, tuple[int, ...]] = {
    name: (3, 3, inputs, outputs) for name, inputs, outputs in zip(LAYERS, (3, *_OUTPUTS), _OUTPUTS)
}
"""The shapes of the kernels: height, width, input and output channels."""

# How often the image was halved before each layer.
_POOLS = {name: block - 1 for name, _, block in _CONVOLUTIONS}

# The names in torchvision: an index into a list in which a ReLU follows every convolution, and a
# maximum every block.
_TORCH_NAMES = {name: f"features.{2 * i + _POOLS[name]}" for i, name in enumerate(LAYERS)}

# Mean and standard deviation of ImageNet's images, RGB in [0, 1], as torchvision has them.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Parameters = Mapping[str, Mapping[str, np.ndarray]]
"""The weights of every layer: "kernel", of the shape in `SHAPES`, and "bias" [output channels]."""


def torch_layout(depth: int = len(LAYERS)) -> dict[str, tuple[int, ...]]:
    """Returns name -> shape for the first `depth` layers in a state dict of torchvision's vgg19."""
    layout = {}
    for name in LAYERS[:depth]:
        height, width, inputs, outputs = SHAPES[name]
        layout[f"{_TORCH_NAMES[name]}.weight"] = (outputs, inputs, height, width)
        layout[f"{_TORCH_NAMES[name]}.bias"] = (outputs,)
    return layout


def from_torch(arrays: Mapping[str, np.ndarray], depth: int) -> Parameters:
    """Converts arrays named as in `torch_layout` to parameters of the first `depth` layers."""
    return {
        name: {
            "kernel": np.ascontiguousarray(
                arrays[f"{_TORCH_NAMES[name]}.weight"].transpose(2, 3, 1, 0)
            ),
            "bias": arrays[f"{_TORCH_NAMES[name]}.bias"],
        }
        for name in LAYERS[:depth]
    }


def layer_count(layers: Sequence[str]) -> int:
    """Returns the number of layers from the image up to the deepest of the given ones.

    Raises:
      UserError: there is no such layer, or none is given.
    """
    for layer in layers:
        if layer not in LAYERS:
            raise UserError(f"VGG-19 has no layer {layer!r}; {did_you_mean(layer, LAYERS)}")
    if not layers:
        raise UserError(f"no layer of VGG-19 is given; give one of {', '.join(LAYERS)}.")
    return 1 + max(map(LAYERS.index, layers))


def normalise(image: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """Takes mean and deviation of ImageNet out of RGB images in [-1, 1], as torchvision does."""
    return ((image.astype(jnp.float32) + 1) / 2 - np.float32(_MEAN)) / np.float32(_STD)


def features(
    parameters: Parameters, image: Float[Array, "b h w 3"], layers: Sequence[str]
) -> dict[str, Float[Array, "b _ _ _"]]:
    """Computes the features of images in some layers, float32; no deeper layer is computed.

    Args:
      parameters: the weights of every layer up to the deepest.
      image: images normalised as those that the network was trained with.
      layers: names of `LAYERS`.

    Returns:
      Layer -> features, in the order from the image inward; each halving rounds the size down.

    Raises:
      UserError: there is no such layer, or the image is too small for it.
    """
    names = LAYERS[: layer_count(layers)]
    # Every maximum halves the image, so that a smaller one would have no pixel left.
    smallest = 2 ** _POOLS[names[-1]]
    if min(image.shape[1:3]) < smallest:
        raise UserError(
            f"an image of {image.shape[1]}x{image.shape[2]} pixels is too small for {names[-1]} of"
            f" VGG-19, which needs {smallest}; take a layer of an earlier block."
        )
    x, found, pools = image.astype(jnp.float32), {}, 0
    for name in names:
        if _POOLS[name] > pools:
            x, pools = nn.max_pool(x, (2, 2), (2, 2)), _POOLS[name]
        kernel, bias = (jnp.asarray(parameters[name][part]) for part in ("kernel", "bias"))
        x = jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jax.nn.relu(x + bias)
        if name in layers:
            found[name] = x
    return found
