"""Tensors in files of `torch.save`, in both of its formats, read without torch.

Since torch 1.6 a file is a zip archive, with a pickle and one uncompressed entry for every array.
Before, it was a row of pickles followed by the arrays.
"""

import dataclasses
import io
import math
import os
import pathlib
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from volsynth.errors import UserError
from volsynth.pretrained import unpickle

ZIP = b"PK\x03\x04"
PICKLE = b"\x80"
_MAGIC = 0x1950A86A20F9469CFC6C
# What zipfile raises, depending on where an archive is damaged.
_OF_ZIPFILE = (zipfile.BadZipFile, RuntimeError, ValueError, EOFError, struct.error)
_PICKLE_BYTES = 4 * 2**20
"""More than the names and shapes of any network take."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """An array in a file, not yet read.

    Attributes:
      dtype: NumPy's name of it, or another if NumPy has none.
      shape: of the array.
      read: reads it; raises UserError if it cannot be read.
    """

    dtype: str
    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


def entries(path: pathlib.Path) -> dict[str, Entry]:
    """The tensors of a state dict, by name.

    Args:
      path: of a file that begins with `ZIP` or `PICKLE`.

    Raises:
      UserError: the file is damaged, is no state dict, or wants more than tensors.
    """
    with path.open("rb") as file:
        zipped = file.read(len(ZIP)) == ZIP
    try:
        state, find = _open_zip(path) if zipped else _open_legacy(path)
        if not isinstance(state, dict):
            raise UserError(f"weights {str(path)!r}: is no state dict, but of type {_kind(state)}.")
        return {key: _entry(path, key, value, find) for key, value in state.items()}
    except unpickle.Refused as refused:
        raise UserError(
            f"weights {str(path)!r}: its pickle wants {_shown(refused)}, which tensors do not need;"
            " nothing of it was run. Save the state dict alone, by torch.save(net.state_dict(), …)."
        ) from refused
    except UserError:
        raise
    except (unpickle.Damaged, *_OF_ZIPFILE) as error:
        raise damaged(path, error) from error


def damaged(path: str | os.PathLike[str], why: object) -> UserError:
    """The error of a file that is not whole."""
    return UserError(
        f"weights {str(path)!r}: truncated or damaged ({_shown(why)}); get the file again."
    )


def _shown(text: object) -> str:
    """At most a line of what may hold anything."""
    plain = str(text)[:100]
    return plain if plain.isprintable() else ascii(plain)


def _kind(value: object) -> str:
    return type(value).__name__


def _entry(path, key, value, find) -> Entry:
    if not isinstance(key, str) or not isinstance(value, unpickle.Tensor):
        raise UserError(
            f"weights {str(path)!r}: {_shown(key)!r} is of type {_kind(value)}, not a tensor;"
            " save the state dict alone."
        )
    storage, extent = value.storage, zip(value.shape, value.strides)
    size = math.prod(value.shape)
    end = value.offset + sum((n - 1) * stride for n, stride in extent) + 1 if size else 0
    # A view that repeats elements could be of any size.
    if max(end, size) > storage.count:
        raise unpickle.Damaged(f"{_shown(key)} does not fit its storage")
    read_storage = find(storage)

    def read():
        flat = read_storage()
        if flat.size != storage.count:  # The view would reach behind it.
            raise damaged(path, f"{_shown(key)} ends too early")
        strides = [stride * flat.itemsize for stride in value.strides]
        return np.lib.stride_tricks.as_strided(flat[value.offset :], value.shape, strides).copy()

    return Entry(storage.dtype.name, value.shape, read)


def _open_zip(path) -> tuple[Any, Callable]:
    with zipfile.ZipFile(path) as archive:
        infos = {info.filename: info for info in archive.infolist()}
        # Packed entries could unpack to any size; torch writes none.
        if any(info.compress_type != zipfile.ZIP_STORED for info in infos.values()):
            raise UserError(f"weights {str(path)!r}: a packed archive, not one of torch.save.")
        roots = [name.removesuffix("data.pkl") for name in infos if name.count("/") == 1]
        roots = [root for root in roots if root + "data.pkl" in infos and root.endswith("/")]
        if len(roots) != 1:
            raise UserError(f"weights {str(path)!r}: an archive, but not one of torch.save.")
        (root,) = roots
        if infos[root + "data.pkl"].file_size > _PICKLE_BYTES:
            raise unpickle.Damaged(f"a pickle of more than {_PICKLE_BYTES} bytes")
        if root + "byteorder" in infos and archive.read(root + "byteorder") != b"little":
            raise UserError(f"weights {str(path)!r}: is not little-endian.")
        state = unpickle.read(io.BytesIO(archive.read(root + "data.pkl")))

    def find(storage):
        info = infos.get(f"{root}data/{storage.key}")
        if info is None or info.file_size != storage.count * storage.dtype.itemsize:
            raise unpickle.Damaged(f"storage {_shown(storage.key)} is missing or of another size")

        def read():
            try:
                with zipfile.ZipFile(path) as archive:
                    return np.frombuffer(archive.read(info), storage.dtype)
            except _OF_ZIPFILE as error:
                raise damaged(path, error) from error

        return read

    return state, find


def _open_legacy(path) -> tuple[Any, Callable]:
    with path.open("rb") as file:
        head = io.BytesIO(file.read(_PICKLE_BYTES))
        if unpickle.read(head) != _MAGIC:
            raise UserError(f"weights {str(path)!r}: a pickle, but not one of torch.save.")
        unpickle.read(head)  # The version of the format.
        system = unpickle.read(head)
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise UserError(f"weights {str(path)!r}: is not little-endian.")
        state, keys = unpickle.read(head), unpickle.read(head)
        if not isinstance(state, dict) or not isinstance(keys, list):
            return state, lambda storage: None
        # Sizes in bytes depend on the types, which only the tensors tell.
        tensors = [value for value in state.values() if isinstance(value, unpickle.Tensor)]
        storages = {tensor.storage.key: tensor.storage for tensor in tensors}
        size, position, offsets = path.stat().st_size, head.tell(), {}
        for key in keys:
            file.seek(position)
            length = file.read(8)
            count = struct.unpack("<q", length)[0] if len(length) == 8 else -1
            if not isinstance(key, str):
                raise unpickle.Damaged("a storage without a name")
            if key not in storages or storages[key].count != count:
                raise unpickle.Damaged(f"storage {_shown(key)} is missing or of another size")
            offsets[key] = position + 8
            position = offsets[key] + count * storages[key].dtype.itemsize
        if position != size:
            raise unpickle.Damaged(f"{position} bytes are wanted, there are {size}")

    def find(storage):
        if storage.key not in offsets or storages[storage.key] != storage:
            raise unpickle.Damaged(f"storage {_shown(storage.key)} is missing or of another size")
        return lambda: np.fromfile(path, storage.dtype, storage.count, offset=offsets[storage.key])

    return state, find
