"""The prepared data sets and converted weights in some folders, without opening their records.

Files in these folders may come from anywhere, and their contents are printed to a terminal, so that
everything in them is checked. Neither JAX nor TensorFlow is imported.
"""

import json
import os
from pathlib import Path
from typing import Any

from volsynth.errors import UserError

MANIFEST = "manifest.json"
"""The file that makes a folder a version of a data set."""

# The number of the format that is known, which a manifest gives as "format".
_MANIFEST_FORMAT = 1

# The size of the largest manifest that is read.
_MANIFEST_BYTES = 64 * 2**20

# How deep below the data folder a version's folder may lie: name/config/version, and one to spare.
_DEPTH = 4


def data_sets(folder: Path) -> list[dict[str, Any]]:
    """Lists every version of a data set below a folder, in JSON values; links are not followed.

    Returns:
      For each, its "folder" and "problem"; if that is None also "name", "config", "version",
      "image_size" in pixels, and "records", the number in each split.
    """
    found = []
    for place, subfolders, files in os.walk(folder):
        if MANIFEST in files:
            found.append(_data_set(Path(place)))
            subfolders.clear()
        elif len(Path(place).relative_to(folder).parts) >= _DEPTH:
            subfolders.clear()
        # Sorted, so that two reports of one folder are equal. Names with a dot in front are the
        # temporary folders of builders.
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
    return found


def weight_files(folder: Path) -> list[dict[str, Any]]:
    """Lists every safetensors file of a folder with the network that it is for, in JSON values."""
    try:
        from volsynth.pretrained import weights
    except ImportError:
        # A package is missing; the list of packages says which.
        return []
    found = []
    for path in sorted(path for path in folder.glob("*.safetensors") if path.is_file()):
        entry = {"file": str(path), "network": None, "problem": None}
        try:
            network = weights.network_name(path)
            entry |= {"network": network} if network else {"problem": "names no network"}
        except UserError as error:
            entry["problem"] = str(error)
        found.append(entry)
    return found


def _data_set(folder: Path) -> dict[str, Any]:
    try:
        return {"folder": str(folder), **_read_manifest(folder / MANIFEST), "problem": None}
    # RecursionError is what a deeply nested file makes of the JSON reader.
    except (OSError, ValueError, RecursionError) as error:
        return {"folder": str(folder), "problem": str(error)}


def _read_manifest(path: Path) -> dict[str, Any]:
    """Reads a manifest, and checks what it says of its data set.

    Raises:
      ValueError: it is not a manifest that this version can read.
    """
    manifest = _json_object(path)
    values = {key: manifest.get(key) for key in ("name", "config", "version")}
    for key, value in values.items():
        # It is printed to a terminal, where unprintable characters could move the cursor.
        if not isinstance(value, str) or not value.isprintable():
            raise ValueError(f"{MANIFEST}: {key!r} is not plain text")
    splits = manifest.get("splits")
    if not isinstance(splits, dict) or not splits:
        raise ValueError(f"{MANIFEST}: 'splits' is missing or empty")
    records = {}
    for name, split in splits.items():
        count = split.get("records") if isinstance(split, dict) else None
        if not name.isprintable() or not _is_count(count):
            raise ValueError(f"{MANIFEST}: split {name!r} has no valid count of records")
        records[name] = count
    if not _is_count(manifest.get("image_size")):
        raise ValueError(f"{MANIFEST}: 'image_size' is not a number of pixels")
    return {**values, "image_size": manifest["image_size"], "records": records}


def _json_object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        # Opening a named pipe would wait for ever.
        raise ValueError(f"{MANIFEST} is not a regular file")
    size = path.stat().st_size
    if size > _MANIFEST_BYTES:
        raise ValueError(f"{MANIFEST} has {size} bytes, more than {_MANIFEST_BYTES}")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{MANIFEST} is not JSON: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != _MANIFEST_FORMAT:
        raise ValueError(f"{MANIFEST} is not of format {_MANIFEST_FORMAT}")
    return manifest


def _is_count(value: Any) -> bool:
    # JSON's true is an int in Python.
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
