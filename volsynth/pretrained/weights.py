"""Weights of known networks, read from files of users: safetensors, or state dicts of torch.

Files come from anywhere. Nothing in them is run, sizes are limited, and what does not fit the
network is one line of error.
"""

import hashlib
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
DTYPES = ("float16", "bfloat16", "float32")
"""What weights may be stored in; all become float32."""

ADVICE = (
    "For one, save torchvision's vgg19 (docs/weights.md) and run volsynth weights convert IN"
    " OUT.safetensors; without a path the built-in features are used."
)
"""How to get a file."""

_OF_SAFETENSORS = {"F16": "float16", "BF16": "bfloat16", "F32": "float32"}
_NETWORK = "network"

Layout = Mapping[str, tuple[int, ...]]
"""The arrays of a network: their names in a file, and their shapes."""


def load(
    path: str | os.PathLike[str], layout: Layout, advice: str = ADVICE
) -> dict[str, np.ndarray]:
    """Reads the arrays of a network; others in the file are passed over.

    Args:
      path: of a safetensors file, or one of torch.save with a state dict; known by its contents.
      layout: what to read.
      advice: ends the message where there is no such file: how to get one.

    Returns:
      float32 arrays in the layout's order, all finite.

    Raises:
      UserError: there is no such file, it is not of a known format, too large, truncated or
        damaged, its pickle wants more than tensors, or an array is missing, has another shape or
        type, or holds values that are not finite.
    """
    path = pathlib.Path(path)
    start = _start(path, advice)
    try:
        found = _entries(path, start)
        return {name: _read(path, name, shape, found) for name, shape in layout.items()}
    except OSError as error:
        raise UserError(f"weights {str(path)!r}: cannot be read ({error}).") from error


def save(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], network: str) -> None:
    """Writes a safetensors file whose metadata name the network; equal arrays give equal bytes.

    Raises:
      UserError: the file cannot be written.
    """
    contents = safetensors.numpy.save(dict(arrays), {_NETWORK: network})
    try:
        files.write_atomically(path, lambda file: file.write(contents))
    except OSError as error:
        raise UserError(f"weights {str(path)!r}: cannot be written ({error}).") from error


def network(path: str | os.PathLike[str]) -> str:
    """The network that `save` wrote into a safetensors file; empty if the file names none.

    Raises:
      UserError: the file is no whole safetensors file.
    """
    try:
        with safetensors.safe_open(path, "numpy") as file:
            return (file.metadata() or {}).get(_NETWORK, "")
    except (OSError, safetensors.SafetensorError) as error:
        raise torch_files.damaged(path, error) from error


def sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file, in hexadecimal digits.

    Raises:
      UserError: the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"weights {str(path)!r}: cannot be read ({error}).") from error


def _start(path: pathlib.Path, advice: str) -> bytes:
    """The first bytes of a file that is there and not too large."""
    try:
        # Reading a pipe of this name would wait for ever.
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
        # A safetensors file begins with a length, which can look like a pickle, but not with a
        # brace behind it.
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
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            shapes = {name: (s.get_dtype(), tuple(s.get_shape())) for name, s in slices.items()}
    except safetensors.SafetensorError as error:
        raise torch_files.damaged(path, error) from error

    def reader(name):
        def read():
            with safetensors.safe_open(path, "numpy") as file:
                return file.get_tensor(name)

        return read

    return {
        name: torch_files.Entry(_OF_SAFETENSORS.get(dtype, dtype), shape, reader(name))
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
    if not np.all(np.isfinite(array)):
        raise UserError(f"{where}: expected numbers, found values that are not finite.")
    return array
