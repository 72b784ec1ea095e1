"""Feature networks for losses and scores.

Weights of VGG-19 (Simonyan and Zisserman 2015) come from a file that the user has. Without one, the
network has seeded random weights: it needs no file, and random features of a convolutional network
are a usable measure of local structure. The name of what was used goes into every log and result,
so that nobody takes one for the other. Inception-v3, which scores use, has no built-in weights:
what is computed with others is another score.
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

BUILTIN = "builtin-random-vgg19-"
"""What names of features without a file begin with; the deepest layer follows."""

_SEED = 19

LAYOUTS: Mapping[str, Callable[[], weights.Layout]] = {
    "vgg19": vgg.torch_layout,
    "inception": inception.torch_layout,
    **{
        f"lpips-{name}": functools.partial(lpips_networks.backbone_layout, name)
        for name in lpips_networks.NETWORKS
    },
}
"""Networks that weights can be converted for, and what their files hold."""

LIN_LAYOUTS: Mapping[str, Callable[[], weights.Layout]] = {
    f"lpips-{name}": functools.partial(lpips_networks.lin_layout, name)
    for name in lpips_networks.NETWORKS
}
"""Those that have learned weights of their own, in a second file, and what that one holds."""

_ADVICE = {
    "inception": "Get pt_inception-2015-12-05-6726825d.pth (docs/weights.md) and run volsynth"
    " weights convert IN OUT.safetensors --kind inception; frechet_builtin needs no file.",
    **dict.fromkeys(LIN_LAYOUTS, "Where the two files of LPIPS come from is in docs/weights.md."),
}
"""How to get a file; that of VGG-19 is the usual one."""


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """A function of images, with an identity; its weights are constants of what is compiled.

    Attributes:
      name: says which weights these are, for logs and results.
      layers: what a call returns, of `vgg.LAYERS`.
      parameters: of the layers up to the deepest of them.
      imagenet: whether images are normalised as those of ImageNet.
    """

    name: str
    layers: tuple[str, ...]
    parameters: vgg.Parameters
    imagenet: bool

    def __call__(self, image: Float[Array, "b h w 3"]) -> dict[str, Float[Array, "b _ _ _"]]:
        """Layer -> features after the ReLU, float32, of RGB images in [-1, 1].

        Raises:
          UserError: the images are too small for the deepest layer.
        """
        image = vgg.normalise(image) if self.imagenet else image
        return vgg.features(self.parameters, image, self.layers)


def name(path: str | os.PathLike[str], layers: Sequence[str]) -> str:
    """What `features` of the same arguments is called, and what it would be if its file were here.

    Raises:
      UserError: there is no such layer.
    """
    depth = vgg.depth(layers)
    if not os.fspath(path):
        return BUILTIN + vgg.LAYERS[depth - 1]
    if not pathlib.Path(path).is_file():
        return f"vgg19 of {os.fspath(path)}, which is not here"
    return f"vgg19 {weights.sha256(path)[:12]}"


def features(path: str | os.PathLike[str], layers: Sequence[str]) -> Features:
    """VGG-19 with the weights of a file or, with an empty path, the built-in ones.

    Args:
      path: as in `weights.load`.
      layers: of `vgg.LAYERS`; no deeper one is read or computed.

    Raises:
      UserError: there is no such layer, or the file is not what it should be.
    """
    depth = vgg.depth(layers)
    if not os.fspath(path):
        return Features(name(path, layers), tuple(layers), _builtin(depth), imagenet=False)
    arrays = weights.load(path, vgg.torch_layout(depth))
    parameters = vgg.from_torch(arrays, depth)
    return Features(name(path, layers), tuple(layers), parameters, imagenet=True)


@dataclasses.dataclass(frozen=True, eq=False)
class Inception:
    """Inception-v3 with the weights of a file, as a function of images.

    Attributes:
      name: says which weights these are, for logs and results.
      parameters: of the whole network, on the device.
    """

    name: str
    parameters: inception.Parameters

    def __call__(self, image: Float[Array, "b h w 3"]) -> dict[str, Float[Array, "b _"]]:
        """As `inception.outputs`, of RGB images in [-1, 1] of any size; compiled once for each."""
        return _outputs(self.parameters, image)


# Weights are arguments of it: as constants they would be compiled with it, slowly.
_outputs = jax.jit(inception.outputs)


def inception_v3(path: str | os.PathLike[str]) -> Inception:
    """Inception-v3 for Fréchet distances and Inception scores.

    Args:
      path: as in `weights.load`.

    Raises:
      UserError: the path is empty, or the file is not what it should be.
    """
    if not os.fspath(path):
        raise UserError(f"Inception-v3: no file of weights is given. {_ADVICE['inception']}")
    arrays = weights.load(path, inception.torch_layout(), _ADVICE["inception"])
    parameters = jax.tree.map(jnp.asarray, inception.from_torch(arrays))
    return Inception(f"inception-v3 {weights.sha256(path)[:12]}", parameters)


@functools.cache
def _builtin(depth: int) -> vgg.Parameters:
    """3x3 kernels, He-normal, the same on every machine, and the same however many there are."""
    rng = np.random.Generator(np.random.Philox(_SEED))
    parameters = {}
    for name in vgg.LAYERS[:depth]:
        shape = vgg.SHAPES[name]
        kernel = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:3]))
        bias = np.zeros(shape[3], np.float32)
        parameters[name] = {"kernel": kernel.astype(np.float32), "bias": bias}
    return parameters


def convert(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    network: str,
    lin: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Rewrites the weights of a network as a safetensors file with nothing else in it.

    Args:
      source: as in `weights.load`.
      out: the new file.
      network: of `LAYOUTS`.
      lin: the second file of a network of `LIN_LAYOUTS`.

    Returns:
      The count of "arrays" and of their "values", and the SHA-256 of "source", of "lin" where there
      is one, and of "out".

    Raises:
      UserError: a source is not what it should be, is missing or one too many, or `out` cannot be
        written or is misnamed.
    """
    if pathlib.Path(out).suffix != ".safetensors":
        raise UserError(f"weights convert: {str(out)!r} must end in .safetensors.")
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
    arrays = weights.load(source, LAYOUTS[network](), _ADVICE.get(network, weights.ADVICE))
    digests = {"source": weights.sha256(source)}
    if lin is not None:
        arrays |= weights.load(lin, LIN_LAYOUTS[network](), _ADVICE[network])
        digests["lin"] = weights.sha256(lin)
    weights.save(out, arrays, network)
    return {
        "arrays": len(arrays),
        "values": sum(array.size for array in arrays.values()),
        **digests,
        "out": weights.sha256(out),
    }
