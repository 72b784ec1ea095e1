"""The parameters of BlazePose that come with the package, in float16.

`manifest.json` names each file's SHA-256 and what it was made from; NOTICE and LICENSE beside it
are those of the authors. Arrays of which most values are zero, as the detector's, are packed: the
other values in a row, and a bit for each value of the array that says whether it is one of them.
"""

import hashlib
import importlib.resources
import json
from collections.abc import Mapping
from typing import Any

import flax.traverse_util
import numpy as np
import safetensors.numpy

from volsynth.errors import UserError

NETWORKS = ("detector", "landmarks")
"""The networks whose parameters are in the package."""

# What the names of the two arrays end in that a packed one becomes.
_VALUES, _BITS = ".values", ".bits"


def manifest() -> dict[str, dict[str, str]]:
    """For each of `NETWORKS`, "file" and "sha256" of its parameters, and those of its "source".

    The source is the file that `conversion.convert` makes the parameters from.
    """
    return json.loads(_read("manifest.json"))


def load(network: str) -> dict[str, Any]:
    """Reads the parameters of a network as Flax takes them, in float32.

    Args:
      network: a name of `NETWORKS`.

    Raises:
      UserError: the file is damaged or missing.
    """
    entry = manifest()[network]
    try:
        content = _read(entry["file"])
    except OSError as error:
        raise UserError(f"BlazePose: {entry['file']} cannot be read; {_ADVICE}") from error
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise UserError(f"BlazePose: {entry['file']} is damaged; {_ADVICE}")
    arrays = unpacked(safetensors.numpy.load(content))
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    return {"params": flax.traverse_util.unflatten_dict(arrays, sep="/")}


_ADVICE = "install volsynth again."


def _read(name: str) -> bytes:
    return importlib.resources.files(__package__).joinpath(name).read_bytes()


def packed(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays, those of which more than half is zero as their other values and bits.

    Args:
      arrays: parameters by their paths in the network, joined by slashes; the last axis of each
        kernel is as long as that of the bias beside it.
    """
    made = {}
    for name, array in sorted(arrays.items()):
        known = array != 0
        if name.endswith("/kernel") and known.mean() < 0.5:
            made[name + _VALUES] = array[known]
            made[name + _BITS] = np.packbits(known, axis=-1)
        else:
            made[name] = array
    return made


def unpacked(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays that `packed` was given."""
    made = {}
    for name, array in arrays.items():
        if name.endswith(_VALUES):
            name = name.removesuffix(_VALUES)
            # Bits fill bytes up; the bias tells how many are meant.
            length = arrays[name.removesuffix("kernel") + "bias"].shape[-1]
            known = np.unpackbits(arrays[name + _BITS], axis=-1, count=length).astype(bool)
            made[name] = np.zeros(known.shape, array.dtype)
            made[name][known] = array
        elif not name.endswith(_BITS):
            made[name] = array
    return made
