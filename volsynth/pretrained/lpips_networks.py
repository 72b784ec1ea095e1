"""LPIPS: the distance of two images in the features of a network, weighted to agree with people.

This is the linear variant of version 0.1 (Zhang et al. 2018), on the features of AlexNet or VGG-16.
Both files of weights come from the user: the network's, as torchvision has it, and the five layers
of learned weights, as the authors publish them. There are no built-in weights: with random features
it would not be LPIPS.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volsynth.errors import UserError, did_you_mean
from volsynth.pretrained import vgg, weights

# Added to the length of a pixel's feature vector before the vector is divided by it.
_EPSILON = 1e-10


class _Convolution(NamedTuple):
    """A convolution with its ReLU.

    Attributes:
      index: the index of the convolution in torchvision's list of layers.
      kernel: the side of the square kernel, in pixels.
      stride: the stride in pixels.
      padding: the number of zeros on every side.
      outputs: the number of output channels.
      pool: the side of the maximum, with stride 2, in front of the convolution; 0 where there is
        none.
      compared: whether LPIPS compares the features after the ReLU.
    """

    index: int
    kernel: int
    stride: int
    padding: int
    outputs: int
    pool: int
    compared: bool


def _vgg16() -> tuple[_Convolution, ...]:
    layers, index = [], 0
    for block, (channels, count) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))):
        for number in range(count):
            pool = 2 if block and number == 0 else 0
            # LPIPS compares the last convolution of every block.
            layers.append(_Convolution(index, 3, 1, 1, channels, pool, number == count - 1))
            # In torchvision's list a ReLU follows every convolution, and a maximum every block.
            index += 2
        index += 1
    return tuple(layers)


_NETWORKS: Mapping[str, tuple[_Convolution, ...]] = {
    "alex": (
        _Convolution(0, 11, 4, 2, 64, 0, True),
        _Convolution(3, 5, 1, 2, 192, 3, True),
        _Convolution(6, 3, 1, 1, 384, 3, True),
        _Convolution(8, 3, 1, 1, 256, 0, True),
        _Convolution(10, 3, 1, 1, 256, 0, True),
    ),
    "vgg": _vgg16(),
}

NETWORKS = tuple(_NETWORKS)
"""The networks that LPIPS is defined on, by the authors' names: AlexNet and VGG-16."""

Parameters = Mapping[str, np.ndarray]
"""Arrays by their names in `layout`; the axes of kernels are height, width, inputs and outputs."""


def layout(network: str) -> dict[str, tuple[int, ...]]:
    """Returns name -> shape of the arrays in a converted file: of both files it is made from.

    Raises:
      UserError: there is no such network.
    """
    return {**backbone_layout(network), **lin_layout(network)}


def backbone_layout(network: str) -> dict[str, tuple[int, ...]]:
    """Returns name -> shape of the convolutions in torchvision's state dict of alexnet or vgg16.

    Raises:
      UserError: there is no such network.
    """
    found, inputs = {}, 3
    for layer in _layers(network):
        name = f"features.{layer.index}"
        found[f"{name}.weight"] = (layer.outputs, inputs, layer.kernel, layer.kernel)
        found[f"{name}.bias"] = (layer.outputs,)
        inputs = layer.outputs
    return found


def lin_layout(network: str) -> dict[str, tuple[int, ...]]:
    """Returns name -> shape of the learned weights in the authors' `alex.pth` or `vgg.pth`.

    Raises:
      UserError: there is no such network.
    """
    compared = [layer for layer in _layers(network) if layer.compared]
    return {f"lin{i}.model.1.weight": (1, layer.outputs, 1, 1) for i, layer in enumerate(compared)}


@dataclasses.dataclass(frozen=True, eq=False)
class Lpips:
    """LPIPS as a function of two batches of images; its weights become constants for the compiler.

    Attributes:
      name: says which weights these are, for logs and results.
      network: a name of `NETWORKS`.
      parameters: the weights of the convolutions, and the learned weights.
    """

    name: str
    network: str
    parameters: Parameters

    def __call__(
        self, a: Float[Array, "b h w 3"], b: Float[Array, "b h w 3"]
    ) -> Float[Array, " b"]:
        """Returns the distance of RGB images in [-1, 1], float32, at least 0.

        For equal images it is 0 up to rounding.

        Raises:
          UserError: the images are too small for the network.
        """
        smallest = smallest_side(self.network)
        if min(a.shape[1:3]) < smallest:
            raise UserError(
                f"LPIPS on {self.network}: images of {a.shape[1]}x{a.shape[2]} pixels are too"
                f" small; it needs {smallest}."
            )
        total = jnp.zeros(a.shape[:1], jnp.float32)
        # Both images go through the network in one batch: half as many convolutions to compile.
        for i, features in enumerate(self._features(jnp.concatenate([a, b]))):
            of_a, of_b = jnp.split(features, 2)
            weight = jnp.asarray(self.parameters[f"lin{i}.model.1.weight"])
            difference = (_unit(of_a) - _unit(of_b)) ** 2
            total += jnp.mean(jnp.sum(difference * weight, axis=-1), axis=(1, 2))
        return total

    def _features(self, image) -> list[Float[Array, "b _ _ _"]]:
        """The features that are compared, from the image inward."""
        # The shift and scale of the original's first layer are the mean and deviation of ImageNet,
        # written for images in [-1, 1].
        x, found = vgg.normalise(image), []
        for layer in _layers(self.network):
            if layer.pool:
                x = nn.max_pool(x, (layer.pool, layer.pool), (2, 2))
            kernel, bias = (
                jnp.asarray(self.parameters[f"features.{layer.index}.{part}"])
                for part in ("weight", "bias")
            )
            x = jax.lax.conv_general_dilated(
                x,
                kernel,
                (layer.stride, layer.stride),
                [(layer.padding, layer.padding)] * 2,
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
                # Accelerators multiply float32 in fewer bits by default; a score must not depend on
                # the device.
                precision=jax.lax.Precision.HIGHEST,
            )
            x = jax.nn.relu(x + bias.reshape(1, 1, 1, -1))
            if layer.compared:
                found.append(x)
        return found


def load(path: str | os.PathLike[str], network: str) -> Lpips:
    """Loads LPIPS with the weights of a converted file.

    Args:
      path: the path of a file that `volsynth weights convert --kind lpips-NETWORK` wrote.
      network: a name of `NETWORKS`.

    Raises:
      UserError: there is no such network or file, or the file is not what it should be.
    """
    names = layout(network)
    if not os.fspath(path) or not pathlib.Path(path).is_file():
        raise UserError(
            f"LPIPS: no file {os.fspath(path)!r}; write one with volsynth weights convert --kind"
            f" lpips-{network} (docs/weights.md)."
        )
    arrays = weights.load(path, names)
    return Lpips(f"lpips-{network} {weights.sha256(path)[:12]}", network, _from_torch(arrays))


def smallest_side(network: str) -> int:
    """Returns the smallest height and width, in pixels, that leave a feature in every layer."""
    # Found by trying: strides and pools round down, so that there is no short formula.
    side = 1
    while not _fits(side, network):
        side += 1
    return side


def _fits(side, network) -> bool:
    for layer in _layers(network):
        if layer.pool:
            side = (side - layer.pool) // 2 + 1
        side = (side + 2 * layer.padding - layer.kernel) // layer.stride + 1
        if side < 1:
            return False
    return True


def _layers(network) -> tuple[_Convolution, ...]:
    if network not in _NETWORKS:
        raise UserError(f"LPIPS has no network {network!r}; {did_you_mean(network, _NETWORKS)}")
    return _NETWORKS[network]


def _from_torch(arrays: Mapping[str, np.ndarray]) -> Parameters:
    """Brings kernels to the axes of JAX, and the learned weights to [1, 1, 1, channels]."""
    parameters = {}
    for name, array in arrays.items():
        if name.startswith("lin"):
            array = array.transpose(0, 2, 3, 1)
        elif array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)
        parameters[name] = np.ascontiguousarray(array)
    return parameters


def _unit(features: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Divides every pixel's feature vector by its length; zeros stay zeros."""
    square = jnp.sum(features**2, axis=-1, keepdims=True)
    # The root has an infinite slope at zero. Both `where`s are needed: the gradient also goes
    # through the branch that is not taken, and infinity times zero is NaN.
    positive = square > 0.0
    length = jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)
    return features / (length + _EPSILON)
