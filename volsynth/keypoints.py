"""Files of poses: our own format, JSON or CSV, and those of OpenPose, COCO and pose-gan.

docs/data.md describes the format. Poses are in pixels of the image, x right and y down, the centre
of the top left pixel at (0.5, 0.5), or in mm in camera coordinates, or both. OpenPose, COCO and
pose-gan have (0, 0) at that centre; half a pixel is added when their files are read.
"""

import csv
import dataclasses
import itertools
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from volsynth import files, orders
from volsynth.errors import UserError

FORMAT = "volsynth-keypoints"
VERSION = 1

MOST_BYTES = 1 << 28
"""Of one file of poses."""

MOST_COORDINATE = 1e6
"""Of pixels and mm; what is further away is no pose."""

_HALF = 0.5
_TEXTS = ("image", "person", "outfit", "action", "camera")
_OPENPOSE = {54: "openpose_18", 75: "openpose_25"}
_POSE_GAN = ["name", "keypoints_y", "keypoints_x"]
_AXES = {"joints_px": "xy", "joints_mm": "xyz"}


class KeypointError(UserError):
    """A file of poses, or one pose of it, is not what the format says."""


Reject = Callable[[KeypointError], None]
"""Is told of a pose that is left out."""


@dataclasses.dataclass(frozen=True)
class Pose:
    """One person in one image.

    Attributes:
      order: name of its order of joints, see `orders`.
      visible: which joints are known.
      joints_px: pixels of the image; None where they are not known.
      joints_mm: camera coordinates; None where they are not known.
      image: path of the image, from the folder of the images; empty without one.
      person: id; empty where it is not known, as the next three.
      outfit: id of the clothes, per person.
      action: what the person does.
      camera: id.
      frame: position in its sequence.
      intrinsics: K, pixels of the image; None where they are not known.
      where: file and entry, for messages.
    """

    order: str
    visible: Bool[np.ndarray, "J"]
    joints_px: Float[np.ndarray, "J 2"] | None = None
    joints_mm: Float[np.ndarray, "J 3"] | None = None
    image: str = ""
    person: str = ""
    outfit: str = ""
    action: str = ""
    camera: str = ""
    frame: int = 0
    intrinsics: Float[np.ndarray, "3 3"] | None = None
    where: str = ""


def read(
    path: str | os.PathLike[str], order: str | None = None, reject: Reject | None = None
) -> list[Pose]:
    """The poses of a file of any format that is known, or of a folder of OpenPose's files.

    Args:
      path: *.json or *.csv, or a folder, whose files count in the order of their names.
      order: the order they must have; None for the one that the file says or its size tells.
      reject: is told what is wrong with a pose, or with a file of a folder, and the rest is read;
        None to raise that instead.

    Raises:
      KeypointError: the file cannot be read, has no format that is known, or another order.
      UserError: there is no such order.
    """
    path = pathlib.Path(path)
    if order is not None:
        orders.find(order)
    poses: list[Pose] = []
    if not path.is_dir():
        _extend(poses, _poses(path, order), reject)
        return poses
    found = sorted(path.glob("*.json"))
    if not found:
        raise KeypointError(f"{path} has no *.json. Give the folder that OpenPose wrote to.")
    for file in found:
        try:
            _extend(poses, _poses(file, order), reject)
        except KeypointError as error:
            _tell(error, reject)
    return poses


def write(path: str | os.PathLike[str], poses: list[Pose]) -> None:
    """Writes poses of one order in our own format, one to a line.

    Raises:
      KeypointError: they have several orders.
    """
    found = sorted({pose.order for pose in poses}) or [orders.OURS]
    if len(found) > 1:
        raise KeypointError(f"poses of one file have one order, got {', '.join(found)}.")
    head = {
        "format": FORMAT,
        "version": VERSION,
        "order": found[0],
        "joints": orders.find(found[0]).joints,
    }
    lines = ",\n".join(json.dumps(_entry(pose)) for pose in poses)
    files.write_text(path, json.dumps(head)[:-1] + ', "poses": [\n' + lines + "\n]}\n")


def to_ours(pose: Pose) -> Pose:
    """The pose with our fifteen joints."""
    joints, visible = {}, pose.visible
    for key in _AXES:
        if (values := getattr(pose, key)) is not None:
            joints[key], visible = orders.to_ours(values, pose.visible, pose.order)
    return dataclasses.replace(pose, order=orders.OURS, visible=visible, **joints)


def _entry(pose):
    entry = {key: getattr(pose, key) for key in _TEXTS if getattr(pose, key)}
    if pose.frame:
        entry["frame"] = pose.frame
    for key in _AXES:
        if (joints := getattr(pose, key)) is not None:
            entry[key] = [
                np.round(joint, 4).tolist() if seen else None
                for joint, seen in zip(joints.astype(float), pose.visible)
            ]
    if pose.intrinsics is not None:
        entry["intrinsics"] = pose.intrinsics.astype(float).tolist()
    return entry


def _tell(error, reject):
    if reject is None:
        raise error
    reject(error)


def _extend(poses, parsers, reject):
    """Adds what can be parsed; a parser for each pose, so that one may fail alone."""
    for parse in parsers:
        try:
            poses.append(parse())
        except KeypointError as error:
            _tell(error, reject)


def _poses(path, order) -> Iterator[Callable[[], Pose]]:
    """A parser for every pose of a file."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise KeypointError(f"{path} is larger than {MOST_BYTES >> 20} MB. Split it.")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise KeypointError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise KeypointError(f"{path} is not text in UTF-8.") from error
    if path.suffix.lower() == ".csv":
        return _of_csv(path, text, order)
    try:
        content = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise KeypointError(f"{path} is not JSON ({error}).") from error
    for key, of_content in (("format", _of_ours), ("people", _of_openpose), ("images", _of_coco)):
        if isinstance(content, dict) and key in content:
            return of_content(path, content, order)
    raise KeypointError(
        f"{path} has no known format: it has none of the entries 'format' (ours), 'people' "
        "(OpenPose) and 'images' (COCO)."
    )


def _refuse(constant):
    raise ValueError(f"{constant} is no number")


def _agree(path, wanted, found):
    if wanted is not None and wanted != found:
        raise KeypointError(f"{path} has joints in the order {found}, not {wanted}.")
    return found


# --- our own -------------------------------------------------------------------------------------


def _of_ours(path, content, wanted):
    if content["format"] != FORMAT or content.get("version") != VERSION:
        raise KeypointError(
            f"{path}: 'format' and 'version' must be {FORMAT!r} and {VERSION}, got "
            f"{content['format']!r} and {content.get('version')!r}."
        )
    order = content.get("order", orders.OURS)
    if not isinstance(order, str):
        raise KeypointError(f"{path}: 'order' must be the name of an order, got {order!r}.")
    orders.find(order)
    _agree(path, wanted, order)
    poses = content.get("poses")
    if not isinstance(poses, list):
        raise KeypointError(f"{path}: 'poses' must be a list, got {_short(poses)}.")
    for number, entry in enumerate(poses):
        yield lambda e=entry, n=number: _of_entry(e, f"{path}: pose {n}", order)


_ENTRY = {*_TEXTS, *_AXES, "frame", "visible", "intrinsics"}


def _of_entry(entry, where, order):
    if not isinstance(entry, dict) or not set(entry) <= _ENTRY:
        odd = sorted(set(entry) - _ENTRY)[0] if isinstance(entry, dict) else _short(entry)
        raise KeypointError(f"{where} has {odd!r}. Allowed: {', '.join(sorted(_ENTRY))}.")
    found: dict[str, Any] = {}
    for key in _TEXTS:
        found[key] = entry.get(key, "")
        if not isinstance(found[key], str):
            raise KeypointError(f"{where}: {key!r} must be text, got {_short(found[key])}.")
        where = f"{where} ({found[key]})" if key == "image" and found[key] else where
    found["frame"] = _count(entry.get("frame", 0), where)
    joints = {key: _joints(entry[key], key, order, where) for key in _AXES if key in entry}
    if not joints:
        raise KeypointError(f"{where} has neither 'joints_px' nor 'joints_mm'.")
    visible = np.logical_and.reduce([np.isfinite(values).all(axis=1) for values in joints.values()])
    if "visible" in entry:
        visible &= _flags(entry["visible"], len(visible), where)
    if "intrinsics" in entry:
        found["intrinsics"] = _intrinsics(entry["intrinsics"], where)
    joints = {key: np.where(visible[:, None], values, 0) for key, values in joints.items()}
    return Pose(order, visible, where=where, **joints, **found)


def _joints(value, key, order, where):
    """[J, 2 or 3]; NaN where a joint is null."""
    count, axes = len(orders.find(order).joints), _AXES[key]
    if not isinstance(value, list) or len(value) != count:
        got = len(value) if isinstance(value, list) else _short(value)
        raise KeypointError(f"{where}: {key!r} must have {count} joints ({order}), got {got}.")
    rows = []
    for joint in value:
        if joint is not None and not _numbers(joint, len(axes)):
            raise KeypointError(
                f"{where}: a joint of {key!r} must be null or {len(axes)} numbers within "
                f"{MOST_COORDINATE:g}, got {_short(joint)}."
            )
        rows.append([np.nan] * len(axes) if joint is None else joint)
    return np.array(rows, float)


def _numbers(value, count):
    return (
        isinstance(value, list)
        and len(value) == count
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
        and all(abs(v) <= MOST_COORDINATE for v in value)
    )


def _flags(value, count, where):
    if not isinstance(value, list) or [type(v) for v in value] != [bool] * count:
        raise KeypointError(f"{where}: 'visible' must be {count} times true or false.")
    return np.array(value)


def _count(value, where):
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**62:
        raise KeypointError(f"{where}: 'frame' must be a number from 0, got {_short(value)}.")
    return value


def _intrinsics(value, where):
    rows = value if isinstance(value, list) and len(value) == 3 else [None]
    if not all(_numbers(row, 3) for row in rows):
        raise KeypointError(f"{where}: 'intrinsics' must be 3 rows of 3 numbers.")
    matrix = np.array(rows, float)
    if matrix[0, 0] <= 0 or matrix[1, 1] <= 0 or matrix[2].tolist() != [0, 0, 1]:
        raise KeypointError(
            f"{where}: 'intrinsics' must have positive focal lengths and end with 0, 0, 1."
        )
    return matrix


def _short(value):
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


# --- of others -----------------------------------------------------------------------------------


def _of_openpose(path, content, wanted):
    """OpenPose's JSON: one file an image. Of several persons the largest counts."""

    def parse():
        people = content["people"]
        if not isinstance(people, list) or not people:
            raise KeypointError(f"{path} has nobody in 'people'.")
        found = [_person(path, person, wanted) for person in people]
        name = path.stem.removesuffix("_keypoints")
        # Whoever is behind the person looks smaller.
        order, joints, visible = max(found, key=lambda f: _extent(f[1], f[2]))
        return Pose(order, visible, joints, image=name, where=str(path))

    yield parse


def _person(path, person, wanted):
    values = person.get("pose_keypoints_2d") if isinstance(person, Mapping) else None
    if not isinstance(values, list) or len(values) not in _OPENPOSE:
        got = len(values) if isinstance(values, list) else _short(values)
        raise KeypointError(
            f"{path}: 'pose_keypoints_2d' must have 54 numbers (openpose_18) or 75 (openpose_25), "
            f"got {got}."
        )
    order = _agree(path, wanted, _OPENPOSE[len(values)])
    return (order, *_triples(values, str(path)))


def _of_coco(path, content, wanted):
    """COCO's annotations of persons; those without a joint are left out, as COCO does."""
    order = _agree(path, wanted, "coco_17")
    images, annotations = content["images"], content.get("annotations")
    if not isinstance(images, list) or not isinstance(annotations, list):
        raise KeypointError(f"{path}: 'images' and 'annotations' must be lists.")
    # By their text: what is no number need not be a key either.
    names = {str(i.get("id")): i.get("file_name") for i in images if isinstance(i, dict)}
    for number, found in enumerate(annotations):
        if isinstance(found, dict) and found.get("num_keypoints", 1) == 0:
            continue

        def parse(found=found, where=f"{path}: annotation {number}"):
            values = found.get("keypoints") if isinstance(found, dict) else None
            if not isinstance(values, list) or len(values) != 51:
                got = len(values) if isinstance(values, list) else _short(values)
                raise KeypointError(f"{where}: 'keypoints' must have 51 numbers, got {got}.")
            name = names.get(str(found.get("image_id")))
            if not isinstance(name, str):
                raise KeypointError(f"{where}: no image has its 'image_id'.")
            joints, visible = _triples(values, where)
            return Pose(order, visible, joints, image=name, where=f"{where} ({name})")

        yield parse


def _triples(values, where):
    """Joints and visibility of x, y, confidence, ...; a joint of confidence 0 was not found."""
    if not _numbers(values, len(values)):
        raise KeypointError(f"{where}: joints must be numbers within {MOST_COORDINATE:g}.")
    table = np.array(values, float).reshape(-1, 3)
    visible = table[:, 2] > 0
    return np.where(visible[:, None], table[:, :2] + _HALF, 0), visible


def _extent(joints, visible):
    seen = joints[visible]
    return float(np.prod(np.ptp(seen, axis=0))) if len(seen) else -1.0


def _of_csv(path, text, wanted):
    """Ours, or pose-gan's `name:keypoints_y:keypoints_x` with lists of 18 numbers, -1 for none."""
    lines = text.splitlines()
    if lines and lines[0].strip().split(":") == _POSE_GAN:
        _agree(path, wanted, "openpose_18")
        for number, line in enumerate(lines[1:], 2):
            if line.strip():
                yield lambda li=line, n=number: _of_pose_gan(path, n, li)
        return
    try:
        table = list(csv.reader(lines))
    except csv.Error as error:
        raise KeypointError(f"{path} is not CSV ({error}).") from error
    columns = table[0] if table else []
    order = _order_of_columns(path, columns, wanted)
    for number, row in enumerate(table[1:], 2):
        if row:
            yield lambda r=row, n=number: _of_row(path, n, columns, r, order)


def _of_pose_gan(path, number, line):
    where = f"{path} line {number}"
    parts = [part.strip() for part in line.split(":", 2)]
    where = f"{where} ({parts[0]})" if parts[0] else where
    try:
        lists = [json.loads(part, parse_constant=_refuse) for part in parts[1:]]
    except (ValueError, RecursionError) as error:
        raise KeypointError(f"{where}: y and x must be lists of numbers ({error}).") from error
    if len(lists) != 2 or not all(isinstance(values, list) for values in lists):
        raise KeypointError(f"{where} must be NAME:[18 numbers y]:[18 numbers x].")
    for axis, values in zip("yx", lists):
        if not _numbers(values, 18):
            raise KeypointError(
                f"{where}: {axis} must be 18 numbers (openpose_18), got {len(values)} values."
            )
    y, x = np.array(lists, float)
    visible = (x != -1) & (y != -1)
    joints = np.where(visible[:, None], np.stack([x, y], axis=1) + _HALF, 0)
    return Pose("openpose_18", visible, joints, image=parts[0], where=where)


def _columns(order, key):
    unit = key.removeprefix("joints_")
    return [[f"{j}_{a}_{unit}" for a in _AXES[key]] for j in orders.find(order).joints]


def _order_of_columns(path, columns, wanted):
    """The order whose columns these are: all of its joints, in pixels or in mm."""
    for order in [wanted] if wanted else orders.ORDERS:
        allowed = {"frame", *_TEXTS}
        named = [set(itertools.chain(*_columns(order, key))) for key in _AXES]
        whole = [names for names in named if names <= set(columns)]
        allowed.update(*whole)
        if whole and set(columns) <= allowed and len(set(columns)) == len(columns):
            return order
    raise KeypointError(
        f"{path}: its first line must name the columns image, person, outfit, action, camera, "
        "frame, of which any may be missing, and JOINT_x_px, JOINT_y_px or JOINT_x_mm, JOINT_y_mm, "
        f"JOINT_z_mm for every joint of {wanted or 'one order'}."
    )


def _of_row(path, number, columns, row, order):
    where = f"{path} line {number}"
    if len(row) != len(columns):
        raise KeypointError(f"{where} has {len(row)} values where the first has {len(columns)}.")
    cells = dict(zip(columns, row))
    entry: dict[str, Any] = {key: cells[key] for key in _TEXTS if key in cells}
    try:
        if cells.get("frame"):
            entry["frame"] = int(cells["frame"])
        for key in _AXES:
            names = _columns(order, key)
            if names[0][0] in cells:
                # Of a joint that is not known, all cells are empty.
                entry[key] = [
                    [float(cells[n]) for n in joint] if any(cells[n] for n in joint) else None
                    for joint in names
                ]
    except ValueError as error:
        raise KeypointError(f"{where}: {error}.") from error
    return _of_entry(entry, where, order)
