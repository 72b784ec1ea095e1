"""Reading arrays from the CDF, HDF5 and MAT files of archives, all of them with suspicion.

Nothing is unpickled, no link is followed out of a file, and what a file says about its sizes is
checked before memory is taken for it.
"""

import contextlib
import importlib
import os
import pathlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from data_prep.errors import BuildError

MAX_BYTES = 1 << 30
"""The largest file of arrays, and the largest array in a file, that is read, in bytes. None of the
archives has one nearly as large."""

_HDF5 = b"\x89HDF\r\n\x1a\n"
"""The first bytes of an HDF5 file."""


class ArchiveError(BuildError):
    """A file of an archive is missing, damaged, or not what it should be.

    Attributes:
      file: the path of the file.
      reason: what is wrong with it.
    """

    def __init__(self, file: str | os.PathLike[str], reason: str) -> None:
        self.file, self.reason = os.fspath(file), reason
        super().__init__(f"{self.file}: {reason}")

    # As for `SightingError`: errors come back from worker processes pickled.
    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.file, self.reason)


def import_package(name: str, path: pathlib.Path) -> Any:
    """Imports a package of the extra `data`.

    Args:
      name: the name of the package.
      path: the file that is to be read with it, for the message.

    Raises:
      ArchiveError: the package is not installed, so that the file cannot be read.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ArchiveError(
            path, f"needs the package {name} to be read: pip install -e '.[data]'"
        ) from None


def check_file(path: pathlib.Path, limit: int = MAX_BYTES) -> pathlib.Path:
    """Returns the path of a file after checking that it can be read.

    Args:
      path: the path.
      limit: the largest size that is read, in bytes.

    Raises:
      ArchiveError: the file is missing, empty, no regular file, or larger than `limit`.
    """
    if not path.exists():
        raise ArchiveError(path, "is missing")
    if not path.is_file():
        raise ArchiveError(path, "is no file")
    size = path.stat().st_size
    if not size:
        raise ArchiveError(path, "is empty")
    if size > limit:
        raise ArchiveError(path, f"has {size} bytes, more than the {limit} that are read")
    return path


@contextlib.contextmanager
def _damage(path: pathlib.Path, kind: str) -> Iterator[None]:
    """Turns whatever a parser raises about a damaged file into an `ArchiveError` of one line."""
    try:
        # What a parser only warns of would end up between the lines of the progress bar.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ArchiveError:
        raise
    # Parsers of foreign formats raise whatever the damage leads them to.
    except Exception as error:
        said = " ".join(str(error).split())[:120] or type(error).__name__
        raise ArchiveError(path, f"cannot be read as {kind} ({said})") from None


def is_hdf5(path: pathlib.Path) -> bool:
    """Whether a file is HDF5, as MAT files are since version 7.3."""
    with open(path, "rb") as file:
        # A MAT file of version 7.3 has a header of 512 bytes before.
        return _HDF5 in (file.read(8), file.read(512)[504:512])


def read_cdf(path: pathlib.Path, name: str) -> np.ndarray:
    """Reads a variable of a CDF file.

    Raises:
      ArchiveError: the file is missing or damaged, or has no such variable.
    """
    cdflib = import_package("cdflib", path)
    check_file(path)
    with _damage(path, "CDF"):
        file = cdflib.CDF(path)
        if name not in file.cdf_info().zVariables + file.cdf_info().rVariables:
            raise ArchiveError(path, f"has no variable {name!r}")
        about = file.varinq(name)
        # Python's integers: those of a damaged header would overflow.
        size = int(about.Last_Rec) + 1
        for axis in about.Dim_Sizes:
            size *= int(axis)
        # No type of CDF takes more than eight bytes a value.
        _check_size(path, 8 * size)
        return np.asarray(file.varget(name))


def _check_size(path: pathlib.Path, size: int) -> None:
    """Raises ArchiveError where an array is empty or larger than what is read."""
    if not 0 < size <= MAX_BYTES:
        raise ArchiveError(path, f"has an array of {size} bytes; up to {MAX_BYTES} are read")


class Hdf5:
    """An HDF5 file, open for as long as the `with` block lasts.

    Arrays have the axes that MATLAB shows, which are the file's in reverse.
    """

    def __init__(self, path: pathlib.Path) -> None:
        # Late, here and below: h5py is a package of the extra `data`.
        import h5py

        # Masks of whole videos are large; only single arrays are loaded, and each is checked.
        self.path = check_file(path, 1 << 36)
        with _damage(path, "HDF5"):
            self._file = h5py.File(path, "r")

    def __enter__(self) -> "Hdf5":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __contains__(self, name: str) -> bool:
        return name in self._file

    def array(self, name: str) -> np.ndarray:
        """Reads a complete array of numbers."""
        with _damage(self.path, "HDF5"):
            return self._load(self._dataset(name))

    def cells(self, name: str) -> "Cells":
        """The cells of a cell array of one axis, in order."""
        import h5py

        with _damage(self.path, "HDF5"):
            found = self._dataset(name)
            if h5py.check_ref_dtype(found.dtype) is not h5py.Reference:
                raise ArchiveError(self.path, f"has no cells in {name!r} but {found.dtype}")
            return Cells(self, found[()].ravel())

    def cell(self, reference: Any) -> np.ndarray:
        """Reads the array in a cell."""
        with _damage(self.path, "HDF5"):
            return self._load(self._checked(self._file[reference], "a cell"))

    def _dataset(self, name: str) -> Any:
        import h5py

        link = self._file.get(name, getlink=True)
        if link is None:
            raise ArchiveError(self.path, f"has no variable {name!r}")
        # A soft or external link could lead to any other file of this machine.
        if not isinstance(link, h5py.HardLink):
            raise ArchiveError(self.path, f"has a link for {name!r}, which is not followed")
        return self._checked(self._file[name], repr(name))

    def _checked(self, found: Any, what: str) -> Any:
        import h5py

        if not isinstance(found, h5py.Dataset):
            raise ArchiveError(self.path, f"has no array in {what}")
        # Both kinds of arrays keep their values in other files, by paths that the archive chooses.
        if found.external or found.is_virtual:
            raise ArchiveError(self.path, f"keeps {what} in another file, which is not read")
        _check_size(self.path, found.size * found.dtype.itemsize)
        return found

    def _load(self, dataset: Any) -> np.ndarray:
        # Booleans, integers and floats; anything else could be objects or text.
        if dataset.dtype.kind not in "biuf":
            raise ArchiveError(self.path, f"has {dataset.dtype} where numbers are expected")
        return np.asarray(dataset[()]).T


class Cells:
    """The cells of a cell array; each is read when it is asked for, to spare memory."""

    def __init__(self, file: Hdf5, references: np.ndarray) -> None:
        self._file, self._references = file, references

    def __len__(self) -> int:
        return len(self._references)

    def __getitem__(self, index: int) -> np.ndarray:
        return self._file.cell(self._references[index])


def read_mat(path: pathlib.Path, names: tuple[str, ...]) -> dict[str, Any]:
    """Reads variables of a MAT file of any version, with the axes that MATLAB shows.

    Args:
      path: the path of the file.
      names: the names of the variables that are wanted; cell arrays become lists of arrays.

    Returns:
      Those of the variables that the file has, by their names.

    Raises:
      ArchiveError: the file is missing or damaged.
    """
    import h5py
    import scipy.io

    check_file(path)
    if is_hdf5(path):
        with Hdf5(path) as file:
            found = {}
            for name in (n for n in names if n in file):
                cells = h5py.check_ref_dtype(file._dataset(name).dtype) is h5py.Reference
                found[name] = list(file.cells(name)) if cells else file.array(name)
            return found
    with _damage(path, "MAT"):
        # Only the named variables are parsed: others may be of any kind and size.
        loaded = scipy.io.loadmat(path, variable_names=names)
        return {name: _unwrapped(path, loaded[name]) for name in names if name in loaded}


def _unwrapped(path: pathlib.Path, value: np.ndarray) -> Any:
    """An array of numbers, or a list of such arrays for a cell array."""
    if value.dtype.kind == "O":
        return [_unwrapped(path, cell) for cell in value.ravel()]
    if value.dtype.kind not in "biuf":
        raise ArchiveError(path, f"has {value.dtype} where numbers are expected")
    return value


def check_finite(path: pathlib.Path, values: np.ndarray) -> np.ndarray:
    """Returns the values as float64 after checking that all are finite.

    Raises:
      ArchiveError: some are not finite.
    """
    values = np.asarray(values, np.float64)
    if not np.all(np.isfinite(values)):
        raise ArchiveError(path, "holds values that are not finite")
    return values
