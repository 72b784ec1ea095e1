"""Reads the tensors in files of `torch.save`, in both of its formats, without PyTorch.

Since PyTorch 1.6 a file is a zip archive that holds a pickle and one uncompressed entry for every
array. Before, it was a row of pickles followed by the arrays; weights that were published before
then still are.
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
"""The first bytes of a zip archive."""

PICKLE = b"\x80"
"""The first byte of a pickle."""

# The number that the first pickle of the older format holds.
_MAGIC = 0x1950A86A20F9469CFC6C

# The errors of zipfile: which one is raised depends on where an archive is damaged.
_ZIPFILE_ERRORS = (zipfile.BadZipFile, RuntimeError, ValueError, EOFError, struct.error)

# The size of the largest pickle that is read: more than names and shapes of any network take.
_PICKLE_BYTES = 4 * 2**20


@dataclasses.dataclass(frozen=True)
class Entry:
    """An array in a file, not read yet.

    Attributes:
      dtype: NumPy's name for the type of its elements, or the file's name if NumPy has none.
      shape: the lengths of its axes.
      read: a function that reads the array, or raises a UserError.
    """

    dtype: str
    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


def entries(path: pathlib.Path) -> dict[str, Entry]:
    """Lists the tensors of a state dict by their names.

    Args:
      path: the path of a file that begins with `ZIP` or `PICKLE`.

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
    except unpickle.RefusedError as error:
        raise UserError(
            f"weights {str(path)!r}: its pickle wants {_shown(error)}, which tensors do not need;"
            " nothing of it was run. Save the state dict alone, by torch.save(net.state_dict(), …)."
        ) from error
    except UserError:
        raise
    except (unpickle.DamagedError, *_ZIPFILE_ERRORS) as error:
        raise damaged_error(path, error) from error


def damaged_error(path: str | os.PathLike[str], why: object) -> UserError:
    """Returns the error for a file of weights that is not whole.

    Args:
      path: the path of the file.
      why: an error, or text, that says what is wrong.
    """
    return UserError(
        f"weights {str(path)!r}: truncated or damaged ({_shown(why)}); get the file again."
    )


def _shown(text: object) -> str:
    """The beginning of a text from a file, safe to print: a file may hold control characters."""
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
    storage = value.storage
    size = math.prod(value.shape)
    steps = sum((n - 1) * stride for n, stride in zip(value.shape, value.strides))
    end = value.offset + steps + 1 if size else 0
    # The size, too: strides of 0 repeat elements, so that a tiny storage could become an array of
    # any size.
    if max(end, size) > storage.count:
        raise unpickle.DamagedError(f"{_shown(key)} does not fit its storage")
    read_storage = find(storage)

    def read():
        flat = read_storage()
        # as_strided does not check: the view would reach into foreign memory.
        if flat.size != storage.count:
            raise damaged_error(path, f"{_shown(key)} ends too early")
        strides = [stride * flat.itemsize for stride in value.strides]
        return np.lib.stride_tricks.as_strided(flat[value.offset :], value.shape, strides).copy()

    return Entry(storage.dtype.name, value.shape, read)


# For both formats: the state dict, and a function that finds a storage. It checks that the storage
# is there and has the right size, and returns a function that reads it.


def _open_zip(path) -> tuple[Any, Callable]:
    with zipfile.ZipFile(path) as archive:
        infos = {info.filename: info for info in archive.infolist()}
        # A compressed entry could unpack to any size; PyTorch does not compress.
        if any(info.compress_type != zipfile.ZIP_STORED for info in infos.values()):
            raise UserError(f"weights {str(path)!r}: a packed archive, not one of torch.save.")
        # All entries are in one folder; its name is the file's own when it was saved.
        roots = [name.removesuffix("data.pkl") for name in infos if name.count("/") == 1]
        roots = [root for root in roots if root + "data.pkl" in infos and root.endswith("/")]
        if len(roots) != 1:
            raise UserError(f"weights {str(path)!r}: an archive, but not one of torch.save.")
        (root,) = roots
        if infos[root + "data.pkl"].file_size > _PICKLE_BYTES:
            raise unpickle.DamagedError(f"a pickle of more than {_PICKLE_BYTES} bytes")
        # Older archives do not say their byte order.
        if root + "byteorder" in infos and archive.read(root + "byteorder") != b"little":
            raise UserError(f"weights {str(path)!r}: is not little-endian.")
        state = unpickle.read(io.BytesIO(archive.read(root + "data.pkl")))

    def find(storage):
        info = infos.get(f"{root}data/{storage.key}")
        if info is None or info.file_size != storage.count * storage.dtype.itemsize:
            raise _wrong_storage(storage.key)

        def read():
            try:
                with zipfile.ZipFile(path) as archive:
                    return np.frombuffer(archive.read(info), storage.dtype)
            except _ZIPFILE_ERRORS as error:
                raise damaged_error(path, error) from error

        return read

    return state, find


def _open_legacy(path) -> tuple[Any, Callable]:
    with path.open("rb") as file:
        head = io.BytesIO(file.read(_PICKLE_BYTES))
        if unpickle.read(head) != _MAGIC:
            raise UserError(f"weights {str(path)!r}: a pickle, but not one of torch.save.")
        # The version of the format, which is always the same.
        unpickle.read(head)
        system = unpickle.read(head)
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise UserError(f"weights {str(path)!r}: is not little-endian.")
        state, keys = unpickle.read(head), unpickle.read(head)
        if not isinstance(state, dict) or not isinstance(keys, list):
            return state, lambda storage: None
        # The file gives the number of a storage's elements, but only a tensor tells their type,
        # and with it where the next storage begins.
        tensors = [value for value in state.values() if isinstance(value, unpickle.Tensor)]
        storages = {tensor.storage.key: tensor.storage for tensor in tensors}
        offsets = _legacy_offsets(file, head.tell(), keys, storages)

    def find(storage):
        # The second check: two tensors may give one storage two types.
        if storage.key not in offsets or storages[storage.key] != storage:
            raise _wrong_storage(storage.key)
        return lambda: np.fromfile(path, storage.dtype, storage.count, offset=offsets[storage.key])

    return state, find


def _legacy_offsets(file, position, keys, storages) -> dict[str, int]:
    """The positions where the elements of each storage begin in a file of the older format.

    Args:
      file: the open file.
      position: where the first storage begins: 8 bytes with its count, then its elements.
      keys: the names of the storages in the order of the file.
      storages: the storages of the tensors, by name.
    """
    offsets = {}
    for key in keys:
        file.seek(position)
        length = file.read(8)
        count = struct.unpack("<q", length)[0] if len(length) == 8 else -1
        if not isinstance(key, str):
            raise unpickle.DamagedError("a storage without a name")
        if key not in storages or storages[key].count != count:
            raise _wrong_storage(key)
        offsets[key] = position + 8
        position = offsets[key] + count * storages[key].dtype.itemsize
    size = os.fstat(file.fileno()).st_size
    if position != size:
        raise unpickle.DamagedError(f"{position} bytes are wanted, there are {size}")
    return offsets


def _wrong_storage(key) -> unpickle.DamagedError:
    return unpickle.DamagedError(f"storage {_shown(key)} is missing or of another size")
