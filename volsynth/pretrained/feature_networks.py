"""Networks whose features losses and scores compare, and the conversion of their weights.

Weights of VGG-19 (Simonyan and Zisserman 2015) come from a file of the user. Without a file, the
network has random weights from a fixed seed: random features of a convolutional network are a
usable measure of local structure. The name of the weights goes into every log and result, so that
nobody takes one for the other. Inception-v3, which scores use, has no built-in weights: with other
weights than the published ones it would be another score.
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from volsynth.errors import UserError
from volsynth.pretrained import inception, lpips_networks, vgg, weights
from volsynth.pretrained.blazepose import conversion

BUILTIN = "builtin-random-vgg19-"
"""The beginning of the name of features without a file; the deepest layer follows."""

# The seed of the built-in weights. Another seed would be another loss and another score.
_SEED = 19

LAYOUTS: Mapping[str, Callable[[], weights.Layout]] = {
    "vgg19": vgg.torch_layout,
    "inception": inception.torch_layout,
    **{
        f"lpips-{name}": functools.partial(lpips_networks.backbone_layout, name)
        for name in lpips_networks.NETWORKS
    },
}
"""The arrays in the weight files of every network that `convert_weights` knows."""

LIN_LAYOUTS: Mapping[str, Callable[[], weights.Layout]] = {
    f"lpips-{name}": functools.partial(lpips_networks.lin_layout, name)
    for name in lpips_networks.NETWORKS
}
"""The arrays in the second files, of networks that have one with learned weights (LPIPS)."""

_ADVICE = {
    "inception": "Get pt_inception-2015-12-05-6726825d.pth (docs/weights.md) and run volsynth"
    " weights convert IN OUT.safetensors --kind inception; frechet_builtin needs no file.",
    **dict.fromkeys(LIN_LAYOUTS, "Where the two files of LPIPS come from is in docs/weights.md."),
}
"""Advice on getting a network's file, for error messages; `weights.ADVICE` is that of VGG-19."""


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """VGG-19 as a function of images; its weights become constants of what JAX compiles.

    Attributes:
      name: says which weights these are, for logs and results.
      layers: the layers whose features a call returns, of `vgg.LAYERS`.
      parameters: the weights of the layers up to the deepest of them.
      imagenet: whether the mean and deviation of ImageNet are taken out of images first.
    """

    name: str
    layers: tuple[str, ...]
    parameters: vgg.Parameters
    imagenet: bool

    def __call__(self, image: Float[Array, "b h w 3"]) -> dict[str, Float[Array, "b _ _ _"]]:
        """Returns layer -> features after the ReLU, float32, for RGB images in [-1, 1].

        Raises:
          UserError: the images are too small for the deepest layer.
        """
        image = vgg.normalise(image) if self.imagenet else image
        return vgg.features(self.parameters, image, self.layers)


def features_name(path: str | os.PathLike[str], layers: Sequence[str]) -> str:
    """Returns the name that `load_features` gives for the same arguments, without loading weights.

    The file need not exist: a run can be described where its weights are not.

    Raises:
      UserError: there is no such layer.
    """
    depth = vgg.layer_count(layers)
    if not os.fspath(path):
        return BUILTIN + vgg.LAYERS[depth - 1]
    # Not an error: a finished run can be compared where its weights are not.
    if not pathlib.Path(path).is_file():
        return f"vgg19 of {os.fspath(path)}, which is not here"
    return f"vgg19 {weights.sha256(path)[:12]}"


def load_features(path: str | os.PathLike[str], layers: Sequence[str]) -> Features:
    """Loads VGG-19 with the weights of a file or, with an empty path, with the built-in ones.

    Args:
      path: as in `weights.load`.
      layers: the layers to return, of `vgg.LAYERS`; no deeper one is read or computed.

    Raises:
      UserError: there is no such layer, or the file is not what it should be.
    """
    depth = vgg.layer_count(layers)
    if not os.fspath(path):
        # Not normalised: random weights were never trained with any scaling of images.
        return Features(features_name(path, layers), tuple(layers), _builtin(depth), imagenet=False)
    arrays = weights.load(path, vgg.torch_layout(depth))
    parameters = vgg.from_torch(arrays, depth)
    return Features(features_name(path, layers), tuple(layers), parameters, imagenet=True)


@dataclasses.dataclass(frozen=True, eq=False)
class Inception:
    """Inception-v3 with the weights of a file, as a function of images.

    Attributes:
      name: says which weights these are, for logs and results.
      parameters: the weights of the whole network, on the device.
    """

    name: str
    parameters: inception.Parameters

    def __call__(self, image: Float[Array, "b h w 3"]) -> dict[str, Float[Array, "b _"]]:
        """Returns `inception.outputs` of RGB images in [-1, 1]; compiled once for each size."""
        return _outputs(self.parameters, image)


# The weights are arguments of the compiled function: as constants of it they would make compiling
# slow.
_outputs = jax.jit(inception.outputs)


def load_inception(path: str | os.PathLike[str]) -> Inception:
    """Loads Inception-v3 for Fréchet distances and Inception scores.

    Args:
      path: as in `weights.load`.

    Raises:
      UserError: the path is empty, or the file is not what it should be.
    """
    if not os.fspath(path):
        raise UserError(f"Inception-v3: no file of weights is given. {_ADVICE['inception']}")
    arrays = weights.load(path, inception.torch_layout(), _ADVICE["inception"])
    # On the device once, as every call takes them as arguments.
    parameters = jax.tree.map(jnp.asarray, inception.from_torch(arrays))
    return Inception(f"inception-v3 {weights.sha256(path)[:12]}", parameters)


@functools.cache
def _builtin(depth: int) -> vgg.Parameters:
    """He-normal 3x3 kernels from a fixed seed for the first `depth` layers of VGG-19.

    They are the same on every machine, and a layer's are the same whatever `depth` is.
    """
    # By NumPy on the host: JAX makes normal numbers by a function that devices round differently.
    rng = np.random.Generator(np.random.Philox(_SEED))
    parameters = {}
    for name in vgg.LAYERS[:depth]:
        shape = vgg.SHAPES[name]
        kernel = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:3]))
        bias = np.zeros(shape[3], np.float32)
        parameters[name] = {"kernel": kernel.astype(np.float32), "bias": bias}
    return parameters


def convert_weights(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    network: str,
    lin: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Writes the weights of a network to a safetensors file with nothing else in it.

    Args:
      source: the file of weights, as in `weights.load`.
      out: the path of the new file, which must end in .safetensors.
      network: a name of `LAYOUTS`, or of `conversion.KINDS` for BlazePose, whose source is a file
        of its own kind.
      lin: the second file of a network of `LIN_LAYOUTS`.

    Returns:
      The number of "arrays", of their "values" and their "dtype", and the SHA-256 of the files
      "source", "lin" (if there is one) and "out".

    Raises:
      UserError: a source is not what it should be, `lin` is missing or not wanted, or `out` cannot
        be written or has another ending.
    """
    if pathlib.Path(out).suffix != ".safetensors":
        raise UserError(f"weights convert: {str(out)!r} must end in .safetensors.")
    # Before the files are read, which takes seconds.
    if network in LIN_LAYOUTS and lin is None:
        raise UserError(
            f"weights convert: {network} needs the file of its learned weights, too: --lin FILE"
            " (docs/weights.md)."
        )
    if network not in LIN_LAYOUTS and lin is not None:
        raise UserError(
            f"weights convert: {network} has no second file; leave --lin out, or give --kind"
            f" {' or '.join(LIN_LAYOUTS)}."
        )
    if network in conversion.KINDS:
        return conversion.convert(source, out, network)
    # What the layout does not name, such as the classifier, is left out here.
    arrays = weights.load(source, LAYOUTS[network](), _ADVICE.get(network, weights.ADVICE))
    digests = {"source": weights.sha256(source)}
    if lin is not None:
        arrays |= weights.load(lin, LIN_LAYOUTS[network](), _ADVICE[network])
        digests["lin"] = weights.sha256(lin)
    weights.save(out, arrays, network)
    return {
        "arrays": len(arrays),
        "values": sum(array.size for array in arrays.values()),
        "dtype": "float32",
        **digests,
        "out": weights.sha256(out),
    }
