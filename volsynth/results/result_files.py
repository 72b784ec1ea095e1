"""The files of an evaluation: results as JSON and Markdown, the scores of every image as CSV."""

import csv
import hashlib
import io
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from volsynth import files
from volsynth.errors import UserError, os_errors_explained
from volsynth.results import tables

RESULTS_FILE = "results.json"
"""Name of the file with all scores and their protocol."""

IMAGES_FILE = "images.csv"
"""Name of the file with the scores of every image."""


def write(folder: pathlib.Path, results: Mapping[str, Any]) -> None:
    """Writes `results.json` and `results.md` into a folder, each of them whole."""
    files.write_text(folder / RESULTS_FILE, json.dumps(results, indent=2) + "\n")
    files.write_text(folder / "results.md", tables.results_report(results))


def read(folder: pathlib.Path) -> dict[str, Any] | None:
    """The results in a folder; None where there are none.

    Raises:
      UserError: the file cannot be read, or has no scores.
    """
    path = folder / RESULTS_FILE
    with os_errors_explained("read", path, path_first=True):
        try:
            found = json.loads(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        # JSON that is nested thousands of times ends in a RecursionError.
        except (ValueError, RecursionError):
            found = None
    if not _has_scores(found):
        raise UserError(f"{path} is damaged: it has no scores. Evaluate again: volsynth evaluate.")
    return {"baselines": {}, **found}


def read_split(workdir: pathlib.Path, split: str) -> dict[str, Any] | None:
    """The results that `volsynth evaluate` wrote into a workdir for a split; None without.

    Raises:
      UserError: the file cannot be read, or has no scores.
    """
    return read(workdir / f"evaluate-{split}")


def evaluated_splits(workdir: pathlib.Path) -> list[str]:
    """Names of the splits on which the run of a workdir was evaluated."""
    found = workdir.glob(f"evaluate-*/{RESULTS_FILE}")
    return sorted(path.parent.name.removeprefix("evaluate-") for path in found)


def write_images(
    path: pathlib.Path,
    names: Sequence[str],
    persons: Sequence[str],
    columns: Mapping[str, Sequence[float | None]],
) -> str:
    """Writes facts and scores of every image as CSV.

    Args:
      path: the file.
      names: file name of each image, without its suffix.
      persons: name of the person on each image.
      columns: values of each fact and score by name; None, an empty cell, where an image has none.

    Returns:
      The SHA-256 of the file, by which results recognise the file that belongs to them.
    """
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(["file", "person", *columns])
    for name, person, *values in zip(names, persons, *columns.values()):
        # `repr` has all digits: means of the file are those of the results.
        out.writerow([name, person, *("" if v is None else repr(float(v)) for v in values)])
    files.write_text(path, text.getvalue())
    return hashlib.sha256(text.getvalue().encode()).hexdigest()


def read_images(
    folder: pathlib.Path, results: Mapping[str, Any]
) -> dict[str, dict[str, Any]] | None:
    """The scores of every image that belong to some results.

    Args:
      folder: the folder of the results.
      results: what `read` returned for it.

    Returns:
      {file: {"person", fact or score: value}}; None where the folder has no such file.

    Raises:
      UserError: the file cannot be read, is no such table, or not that of these results.
    """
    path = folder / IMAGES_FILE
    try:
        text = path.read_bytes().decode()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}.") from error
    # Results of other programs need not say which file is theirs.
    if results.get("images_sha256") not in (None, hashlib.sha256(text.encode()).hexdigest()):
        raise UserError(
            f"{path} is not of {RESULTS_FILE} beside it. Evaluate again: volsynth evaluate."
        )
    try:
        return dict(_image_rows(text))
    # A column that is missing, a line of another length, a cell that is no number, wrong quotes.
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise UserError(
            f"{path} is damaged: no table of scores. Evaluate again: volsynth evaluate."
        ) from error


def _image_rows(text):
    for line in csv.DictReader(io.StringIO(text), strict=True):
        name, person = line.pop("file"), line.pop("person")
        scores = {key: float(value) for key, value in line.items() if value != ""}
        yield name, {"person": person, **scores}


def _has_scores(found):
    # Everything that readers rely on is checked here, so that a damaged file is one clear line.
    try:
        rows = [found["metrics"], *found.get("baselines", {}).values()]
        numbers = [value for row in rows for value in row.values() if value is not None]
        known = "step" in found and isinstance(found["protocol"], dict)
    except (KeyError, TypeError, AttributeError):
        return False
    return known and bool(numbers) and all(isinstance(n, (int, float)) for n in numbers)
