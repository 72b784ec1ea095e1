"""Weights of known networks, read from files of users: safetensors, or state dicts of PyTorch.

Such files come from anywhere. Nothing in them is run, their sizes are limited, and what does not
fit the network is an error of one line.
"""

import os
import pathlib
from collections.abc import Mapping

import numpy as np
import safetensors
import safetensors.numpy

from volsynth import files
from volsynth.errors import UserError
from volsynth.pretrained import torch_files

MAX_BYTES = 2 * 2**30
"""The size of the largest file that is read, in bytes."""

DTYPES = ("float16", "bfloat16", "float32")
"""The types that weights may be stored in; all become float32."""

ADVICE = (
    "For one, save torchvision's vgg19 (docs/weights.md) and run volsynth weights convert IN"
    " OUT.safetensors; without a path the built-in features are used."
)
"""Advice on getting a file of weights; ends the error message where there is none."""

# NumPy's names for the types of safetensors.
_SAFETENSORS_DTYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32"}

# The key of the network's name in the metadata of a safetensors file.
_NETWORK = "network"

Layout = Mapping[str, tuple[int, ...]]
"""The shapes of a network's arrays, by their names in a file."""


def load(
    path: str | os.PathLike[str], layout: Layout, advice: str = ADVICE
) -> dict[str, np.ndarray]:
    """Reads the arrays of a network from a file; other arrays in the file are ignored.

    Args:
      path: the path of a safetensors file, or of one of torch.save with a state dict; the contents
        tell which it is, not the name.
      layout: the arrays to read.
      advice: how to get a file; ends the error message where there is none.

    Returns:
      float32 arrays in the layout's order, all finite.

    Raises:
      UserError: there is no such file, it is not of a known format, too large, truncated or
        damaged, its pickle needs more than tensors, or an array is missing, has another shape or
        type, or holds values that are not finite.
    """
    path = pathlib.Path(path)
    start = _first_bytes(path, advice)
    try:
        found = _entries(path, start)
        return {name: _read(path, name, shape, found) for name, shape in layout.items()}
    except OSError as error:
        raise UserError(f"weights {str(path)!r}: cannot be read ({error}).") from error


def save(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], network: str) -> None:
    """Writes a safetensors file whose metadata name the network; equal arrays give equal bytes.

    Args:
      path: the path of the new file.
      arrays: the weights by name.
      network: the name of the network.

    Raises:
      UserError: the file cannot be written.
    """
    # Through memory rather than save_file, so that no half-written file is ever in place.
    contents = safetensors.numpy.save(dict(arrays), {_NETWORK: network})
    try:
        files.write_atomically(path, lambda file: file.write(contents))
    except OSError as error:
        raise UserError(f"weights {str(path)!r}: cannot be written ({error}).") from error


def network_name(path: str | os.PathLike[str]) -> str:
    """Returns the network's name that `save` wrote into a safetensors file, or an empty string.

    Raises:
      UserError: the file is no safetensors file, or not whole.
    """
    try:
        with safetensors.safe_open(path, "numpy") as file:
            return (file.metadata() or {}).get(_NETWORK, "")
    except (OSError, safetensors.SafetensorError) as error:
        raise torch_files.damaged_error(path, error) from error


def sha256(path: str | os.PathLike[str]) -> str:
    """Returns the SHA-256 of a file in hexadecimal digits.

    Raises:
      UserError: the file cannot be read.
    """
    try:
        return files.sha256(path)
    except OSError as error:
        raise UserError(f"weights {str(path)!r}: cannot be read ({error}).") from error


def _first_bytes(path: pathlib.Path, advice: str) -> bytes:
    """The first nine bytes of a file that exists and is not too large."""
    try:
        # Opening a named pipe would wait for ever.
        if path.exists() and not path.is_file():
            raise UserError(f"weights {str(path)!r}: is not a regular file.")
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(9)
    except FileNotFoundError as error:
        raise UserError(f"weights {str(path)!r}: no such file. {advice}") from error
    except OSError as error:
        raise UserError(f"weights {str(path)!r}: cannot be read ({error}).") from error
    if size > MAX_BYTES:
        raise UserError(f"weights {str(path)!r}: {size} bytes; at most {MAX_BYTES} are read.")
    return start


def _entries(path, start) -> dict[str, torch_files.Entry]:
    if start.startswith((torch_files.ZIP, torch_files.PICKLE)):
        # A safetensors file begins with a length in eight bytes, which may by chance be those of an
        # archive or a pickle; but then comes the brace of its header, which those two never have.
        if start[8:] != b"{":
            return torch_files.entries(path)
    elif start[8:] != b"{":
        raise UserError(
            f"weights {str(path)!r}: not a known format; known are safetensors and torch.save's."
        )
    return _safetensors(path)


def _safetensors(path) -> dict[str, torch_files.Entry]:
    try:
        with safetensors.safe_open(path, "numpy") as file:
            # A slice knows type and shape without reading the array. The file is no mapping, so
            # that `for name in file` would fail.
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            shapes = {name: (s.get_dtype(), tuple(s.get_shape())) for name, s in slices.items()}
    except safetensors.SafetensorError as error:
        raise torch_files.damaged_error(path, error) from error

    def reader(name):
        def read():
            with safetensors.safe_open(path, "numpy") as file:
                return file.get_tensor(name)

        return read

    return {
        name: torch_files.Entry(_SAFETENSORS_DTYPES.get(dtype, dtype), shape, reader(name))
        for name, (dtype, shape) in shapes.items()
    }


def _read(path, name, shape, found) -> np.ndarray:
    where = f"weights {str(path)!r}: {name!r}"
    if name not in found:
        others = f"{', '.join(map(ascii, list(found)[:3]))}, …" if found else "nothing"
        raise UserError(f"{where}: expected shape {shape}, found no such array (but {others}).")
    entry = found[name]
    if entry.shape != shape:
        raise UserError(f"{where}: expected shape {shape}, found {entry.shape}.")
    if entry.dtype not in DTYPES:
        raise UserError(f"{where}: expected {', '.join(DTYPES)}, found {entry.dtype}.")
    array = entry.read().astype(np.float32)
    # One NaN would make every score NaN, far from its cause.
    if not np.all(np.isfinite(array)):
        raise UserError(f"{where}: expected numbers, found values that are not finite.")
    return array
