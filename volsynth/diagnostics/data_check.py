"""Checks of a prepared data set, record by record, and statistics of what it holds."""

import collections
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from volsynth import skeleton
from volsynth.data import decoding, prepared, schema, verify
from volsynth.errors import UserError
from volsynth.ops import geometry

MOST_PROBLEMS = 100
"""The number of problems that a report lists; further ones are only counted."""

# How many records are read at once.
_ROWS = 32


def check_records(
    data: prepared.Prepared, names: Iterable[str], say: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Reads every record of some splits and lists what is wrong.

    It looks for files that differ from the manifest, records that break the schema, joints outside
    of their images, masks without a person, and an index that belongs to other records.

    Args:
      data: the prepared data set.
      names: the names of the splits.
      say: is told of the progress after every split.

    Returns:
      JSON values: "problems", at most `MOST_PROBLEMS` lines; "problem_count"; and "splits" as in
      `statistics`.
    """
    names = list(names)
    problems: list[str] = []
    try:
        verify.verify(data, names, say)
    except prepared.DataError as error:
        # The records are still read: they may tell what is wrong with the files.
        problems.append(str(error))
    splits = {}
    for name in names:
        try:
            split = data.split(name)
        except prepared.DataError as error:
            problems.append(str(error))
            continue
        # `_records` also adds to the problems.
        for number, record in _records(split, problems):
            problems += _faults(split, number, record)
        splits[name] = split_statistics(split)
        say(f"{name}: {split.records} records, {len(problems)} problems so far")
    return {
        "data": str(data.folder),
        "problem_count": len(problems),
        "problems": [" ".join(line.split()) for line in problems[:MOST_PROBLEMS]],
        "splits": splits,
    }


def statistics(data: prepared.Prepared, names: Iterable[str]) -> dict[str, Any]:
    """Computes `split_statistics` of some splits, with folder and size of images; JSON values."""
    return {
        "data": str(data.folder),
        "image_size": data.image_size,
        "splits": {name: split_statistics(data.split(name)) for name in names},
    }


def split_statistics(split: prepared.Split) -> dict[str, Any]:
    """Computes the statistics of a split, JSON values.

    Returns:
      The numbers of "records", "persons" and "outfits"; "alone", the outfits with a single image,
      which is its own partner; "pairs", ordered pairs of two images of an outfit;
      "images_per_outfit" (least, median, most); the counts of "actions" and "cameras"; and, over
      the records that can be read, "visible", the share of records in which each joint is known,
      "distance_mm" of the persons (least, median, most), and "reprojection_px", how far joints in
      the image lie from the projections of those in space (median, most).
    """
    sizes = [len(records) for outfits in split.groups for records in outfits]
    result = {
        "records": split.records,
        "persons": len(split.groups),
        "outfits": len(sizes),
        "alone": sum(size == 1 for size in sizes),
        "pairs": sum(size * (size - 1) for size in sizes),
        "images_per_outfit": _spread(sizes),
        "actions": _named(split, "action"),
        "cameras": _named(split, "camera"),
    }
    # Without the images, whose decoding would take most of the time.
    rows = (row for _, row in _records(split, [], images=False))
    # A record without a known joint has no distance.
    known = [row for row in rows if row["visible"].any()]
    if not known:
        return result
    visible = np.array([row["visible"] for row in known])
    shares = np.round(visible.mean(axis=0), 4).tolist()
    distances = [np.mean(row["joints_mm"][row["visible"], 2]) for row in known]
    # Empty if all joints lie behind the camera, which `check_records` reports.
    apart = np.concatenate([_reprojection(row) for row in known])
    far = [round(float(f(apart)), 3) for f in (np.median, np.max)] if len(apart) else [0.0, 0.0]
    return {
        **result,
        "visible": dict(zip(skeleton.JOINTS, shares)),
        "distance_mm": _spread(distances),
        "reprojection_px": far,
    }


def format_report(report: dict[str, Any]) -> str:
    """Returns the report of `check_records` or `statistics` as text."""
    lines = [report["data"]]
    for name, found in report["splits"].items():
        least, median, most = found["images_per_outfit"]
        lines += [
            f"{name}: {found['records']} images of {found['persons']} persons in "
            f"{found['outfits']} outfits, {least:g} to {most:g} images an outfit (median "
            f"{median:g}), {found['alone']} alone; {found['pairs']} pairs",
            f"  {len(found['actions'])} actions, {len(found['cameras'])} cameras",
        ]
        if "visible" in found:
            seen = found["visible"]
            least_seen = min(seen, key=seen.get)
            lines += [
                f"  joints known: {np.mean(list(seen.values())):.1%}, least often the "
                f"{least_seen} ({seen[least_seen]:.1%})",
                f"  distance: {' / '.join(f'{v / 1000:.2f}' for v in found['distance_mm'])} m "
                "(least, median, most)",
                f"  joints from their projections: {found['reprojection_px'][0]:.2f} px (median), "
                f"{found['reprojection_px'][1]:.2f} px (most)",
            ]
    lines += report.get("problems", [])
    if "problem_count" in report:
        more = report["problem_count"] - len(report["problems"])
        lines.append(f"{more} more problems" if more else f"{report['problem_count']} problems")
    return "\n".join(lines)


def _records(split, problems, images=True) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields decoded records with their numbers; what cannot be read is added to the problems."""
    for start in range(0, split.records, _ROWS):
        numbers = list(range(start, min(start + _ROWS, split.records)))
        try:
            found = _read(split, numbers, images)
        except UserError:
            # One by one, to keep the sound records and to name the broken ones.
            found = []
            for number in numbers:
                try:
                    found += _read(split, [number], images)
                except UserError as error:
                    problems.append(str(error))
        yield from found


def _read(split, numbers, images):
    # Some fields are optional, such as the labels of parts.
    stored = decoding.stored_fields(split, numbers[0])
    fields = [
        key
        for key, field in schema.FIELDS.items()
        if key in stored and (images or field.kind != "image")
    ]
    columns = decoding.read_fields(split, numbers, fields)
    return [
        (
            number,
            {
                key: value[row].decode() if schema.FIELDS[key].kind == "text" else value[row]
                for key, value in columns.items()
            },
        )
        for row, number in enumerate(numbers)
    ]


def _faults(split, number, record) -> list[str]:
    name = split.locate(number)
    try:
        schema.validate(record, name)
    except schema.RecordError as error:
        return [str(error)]
    # All faults of a record rather than the first: they often have one cause.
    faults = []
    side, seen = record["image"].shape[0], record["visible"]
    outside = seen & ~np.all((record["joints_px"] >= 0) & (record["joints_px"] <= side), axis=1)
    if outside.any():
        joint = skeleton.JOINTS[int(np.flatnonzero(outside)[0])]
        faults.append(
            f"{name}: {outside.sum()} joints lie outside of the image, such as the {joint}."
        )
    if np.any(record["joints_mm"][seen, 2] <= 0):
        faults.append(f"{name}: joints lie behind the camera.")
    said = {
        "person": record["person"],
        # The names of outfits are unique within a person only.
        "outfit": f"{record['person']}/{record['outfit']}",
        "action": record["action"],
        "camera": record["camera"],
    }
    for key, value in said.items():
        if key in split.index and _name(split, key, number) != value:
            faults.append(
                f"{name}: its {key} is {value!r}, the index says {_name(split, key, number)!r}."
            )
    return faults


def _reprojection(record):
    """Distances in pixels between known joints in the image and the projections of the 3D ones."""
    # Joints behind the camera have no projection.
    seen = record["visible"] & (record["joints_mm"][:, 2] > 0)
    # Records without the field are older than the other camera models.
    model = record.get("camera_model", "human36m")
    projected = geometry.project(
        record["joints_mm"][seen],
        record["camera_intrinsics"],
        None if model == "none" else record["camera_distortion"],
        schema.CAMERA_MODELS.get(model, 0.0),
    )
    return np.linalg.norm(projected - record["joints_px"][seen], axis=1)


def _name(split, key, number):
    return str(split.index[f"{key}_names"][split.index[key][number]])


def _named(split, key):
    """Counts by name, the most frequent first; empty if the index lacks the field."""
    if f"{key}_names" not in split.index:
        return {}
    counts = collections.Counter(split.index[key].tolist())
    return {str(split.index[f"{key}_names"][n]): count for n, count in counts.most_common()}


def _spread(values):
    return [round(float(f(values)), 3) for f in (np.min, np.median, np.max)]
