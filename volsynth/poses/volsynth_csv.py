"""Poses of our own format as a table, CSV with named columns and a line for every pose."""

import csv
import itertools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from volsynth.files import InMemory
from volsynth.poses import joint_orders, volsynth_json
from volsynth.poses.pose import AXES, TEXTS, KeypointError, Pose


def poses(
    path: pathlib.Path | InMemory, lines: Sequence[str], wanted: str | None
) -> Iterator[Callable[[], Pose]]:
    """A parser for every line of a file after the first.

    Args:
      path: the file.
      lines: the lines of the file.
      wanted: the order of joints that the file must have; None for the one that its columns name.

    Raises:
      KeypointError: the file is no CSV, or its columns are not what the format says.
    """
    try:
        rows = list(csv.reader(lines))
    except csv.Error as error:
        raise KeypointError(f"{path} is not CSV ({error}).") from error
    columns = rows[0] if rows else []
    order = _order_of_columns(path, columns, wanted)
    for number, row in enumerate(rows[1:], 2):
        # The reader gives an empty row for an empty line, such as a last one.
        if row:
            yield lambda r=row, n=number: _pose(path, n, columns, r, order)


def _order_of_columns(path, columns, wanted):
    """The order whose columns these are: all of its joints, in pixels or in mm."""
    for order in [wanted] if wanted else joint_orders.ORDERS:
        allowed = {"frame", *TEXTS}
        named = [set(itertools.chain(*_columns(order, key))) for key in AXES]
        whole = [names for names in named if names <= set(columns)]
        # Columns of several orders, or half of a field's, fit none.
        allowed.update(*whole)
        if whole and set(columns) <= allowed and len(set(columns)) == len(columns):
            return order
    raise KeypointError(
        f"{path}: its first line must name the columns image, person, outfit, action, camera, "
        "frame, of which any may be missing, and JOINT_x_px, JOINT_y_px or JOINT_x_mm, JOINT_y_mm, "
        f"JOINT_z_mm for every joint of {wanted or 'one order'}."
    )


def _pose(path, number, columns, row, order):
    where = f"{path} line {number}"
    if len(row) != len(columns):
        raise KeypointError(f"{where} has {len(row)} values where the first has {len(columns)}.")
    cells = dict(zip(columns, row))
    entry: dict[str, Any] = {key: cells[key] for key in TEXTS if key in cells}
    try:
        if cells.get("frame"):
            entry["frame"] = int(cells["frame"])
        for key in AXES:
            names = _columns(order, key)
            if names[0][0] in cells:
                # Of a joint that is not known, all cells are empty.
                entry[key] = [
                    [float(cells[n]) for n in joint] if any(cells[n] for n in joint) else None
                    for joint in names
                ]
    except ValueError as error:
        raise KeypointError(f"{where}: {error}.") from error
    # From here on a line is checked as an entry of the JSON format is.
    return volsynth_json.pose_of(entry, where, order)


def _columns(order, key):
    """The names of a field's columns, a list for each joint of an order."""
    unit = key.removeprefix("joints_")
    return [[f"{j}_{a}_{unit}" for a in AXES[key]] for j in joint_orders.find_order(order).joints]
