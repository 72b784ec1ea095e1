"""The folder of an exported model: its files, and the check that they are as they were written.

A folder may come from anywhere: sizes are limited, every byte is checked against the manifest, only
files of fixed names in the folder itself are opened, and nothing is unpickled.
"""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors

from volsynth import files
from volsynth.errors import UserError, os_errors_explained
from volsynth.train import manifest

FORMAT = 1
"""Number of the format of the folder; raised when an older volsynth could no longer read it."""

FORMAT_KEY = "volsynth_export"
"""Key of the manifest under which the number of the format stands."""

CARD, CONFIG, README = "card.json", "config.json", "README.md"
PARAMETERS, PROGRAM = "parameters.safetensors", "program.stablehlo"
"""Names of the files in the folder, besides the manifest."""

MAX_BYTES = {
    manifest.NAME: 2**20,
    CARD: 2**20,
    CONFIG: 2**20,
    README: 2**20,
    PARAMETERS: 8 * 2**30,
    PROGRAM: 2**30,
}
"""The files of the folder, with the largest number of bytes that is read of each."""

REPAIR_HINT = "Copy the folder again, or export it again: volsynth export."
"""Advice that ends the error lines about a damaged folder."""


def is_model(folder: pathlib.Path) -> bool:
    """Whether a folder holds an exported model, sound or not, rather than a run."""
    return (folder / CARD).exists()


def check(folder: pathlib.Path) -> dict[str, Any]:
    """Checks every file of an exported model against its manifest, and returns its `about`.

    Args:
      folder: the folder of the model.

    Raises:
      UserError: there is no such folder, a file is missing, additional, damaged or too large, or it
        was written in another format.
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(
            f"{folder}: no exported model ({error.strerror}). Make one: volsynth export."
        ) from error
    if manifest.NAME not in [entry.name for entry in entries]:
        raise UserError(
            f"{folder}: no exported model ({manifest.NAME} is missing). Make one: volsynth export."
        )
    # Sizes first: the manifest itself may be too large to be read.
    for entry in entries:
        _check_file(folder, entry)
    about = _verified(folder)
    for name in MAX_BYTES:
        if not (folder / name).exists():
            raise UserError(f"{folder}: {name} is missing. {REPAIR_HINT}")
    return about


def _check_file(folder, entry):
    """Raises a UserError unless this is a file of the folder, and not too large."""
    with os_errors_explained("read", f"{folder}: {entry.name}", path_first=True):
        try:
            # Links lead out of the folder.
            with files.open_regular(entry.path, links=False) as file:
                size = os.fstat(file.fileno()).st_size
        except (files.NotRegularError, IsADirectoryError) as error:
            raise UserError(f"{folder}: {entry.name} is no regular file. {REPAIR_HINT}") from error
    limit = MAX_BYTES.get(entry.name)
    if limit is None:
        raise UserError(
            f"{folder}: {entry.name} does not belong there. Remove it; what is there is "
            f"{', '.join(MAX_BYTES)}."
        )
    if size > limit:
        raise UserError(
            f"{folder}: {entry.name} has {size} bytes; at most {limit} are read. {REPAIR_HINT}"
        )


def _verified(folder):
    """The values `about` of the manifest, if files and format are as they should be."""
    try:
        about = manifest.verify(folder)
        found = about.get(FORMAT_KEY)
    except manifest.DamagedError as error:
        raise UserError(f"{folder}: {error}. {REPAIR_HINT}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        # It fits its own digest, but is of some other making.
        raise UserError(f"{folder}: {manifest.NAME} is damaged. {REPAIR_HINT}") from error
    if found is None:
        raise UserError(
            f"{folder}: no exported model ({manifest.NAME} is of something else). Make one: "
            "volsynth export."
        )
    if found != FORMAT:
        raise UserError(
            f"{folder}: format {found!r}; this volsynth reads format {FORMAT}. Use the version of "
            "volsynth that wrote it, or export it again."
        )
    return about


def read_json(folder: pathlib.Path, name: str) -> dict[str, Any]:
    """The JSON object in a file of the folder.

    Args:
      folder: the folder of the model.
      name: name of the file.

    Raises:
      UserError: it cannot be read, or is no JSON object.
    """
    with os_errors_explained("read", f"{folder}: {name}", path_first=True):
        try:
            found = json.loads((folder / name).read_bytes())
        except (ValueError, RecursionError):  # The second by brackets nested thousands deep.
            found = None
    if not isinstance(found, dict):
        raise UserError(f"{folder}: {name} is damaged: no JSON object. {REPAIR_HINT}")
    return found


def read_parameters(
    folder: pathlib.Path, layout: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """The arrays of a model by name, float32.

    Args:
      folder: the folder of the model.
      layout: the shape of each array that the model takes, by name.

    Raises:
      UserError: the file is damaged, or has other arrays.
    """

    def fail(what):
        raise UserError(f"{folder}: {PARAMETERS} {what}. {REPAIR_HINT}")

    try:
        with safetensors.safe_open(folder / PARAMETERS, "numpy") as file:
            found = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            for name in sorted(found.keys() ^ layout.keys()):
                fail(f"{'lacks' if name in layout else 'has an unknown array,'} {name!a}")
            # By the header of the file: nothing of a wrong size is read.
            for name, shape in layout.items():
                there = tuple(found[name].get_shape())
                if there != shape or found[name].get_dtype() != "F32":
                    fail(
                        f"has {name!a} as {found[name].get_dtype()} {list(there)}; the model "
                        f"takes F32 {list(shape)}"
                    )
            return {name: file.get_tensor(name) for name in layout}
    except (OSError, safetensors.SafetensorError) as error:
        fail(f"is damaged ({error})")
