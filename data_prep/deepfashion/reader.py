"""The reader of DeepFashion In-shop: images, public lists, masks and poses in space.

The lists are those that came with pose-gan and that others took over: `fasion-annotation-SPLIT.csv`
has 18 joints for each image, in the frame of 176 x 256 pixels to which it was resized, and
`fasion-pairs-SPLIT.csv` the pairs. Images that show the complete body are used, as in Knoche 2019,
section 6.1: those that have a partner in pairs, the others as source and target at once.
"""

import collections
import csv
import dataclasses
import itertools
import pathlib
from collections.abc import Iterable

import numpy as np

from data_prep.building.sighting_builder import Found
from data_prep.deepfashion import names
from data_prep.errors import BuildError
from data_prep.reading import pictures, sources
from volsynth.poses import joint_orders, keypoint_files
from volsynth.poses.keypoint_files import Pose

SPLITS = ("train", "test")
"""The splits that the lists have."""

IMAGES = ("img_highres", "img_highres.zip")
"""The names that the folder or archive of images may have in the source."""

MASKS = ("masks", "masks.zip")
"""The names that the folder or archive of masks, if there is one, may have in the source."""

POSES = "poses_3d.json"
"""The name of the file with joints in space, if there is one."""

FRAME = (176, 256)
"""Width and height of the pictures that the keypoints of the lists refer to."""

KINDS = ("paired", "single")
"""The kinds of images, of which a configuration has one: with a partner, or without one."""

_SPELLINGS = ("fasion", "fashion")
"""The beginnings of names of lists: pose-gan's own spelling, and the one that users mend it to."""


def find(source: pathlib.Path, kind: str) -> Found:
    """Finds the pieces of one kind, "paired" or "single".

    Args:
      source: the folder of images and lists.
      kind: one of `KINDS`.

    Raises:
      BuildError: there are no images, or no list of keypoints.
    """
    # Failing both, the images lie in the source itself.
    images = next((source / n for n in IMAGES if (source / n).exists()), source)
    opened = sources.open_source(images)
    left_out = list(opened.refused)
    poses = {split: _poses(source, split, left_out) for split in SPLITS}
    if not any(poses.values()):
        raise BuildError(
            f"{source} has no keypoints: fasion-annotation-train.csv and fasion-annotation-test.csv"
            " belong there."
        )
    in_space = _in_space(source, left_out)
    # The lists have flattened names, the archive has folders.
    by_flat = {names.flatten(name): name for name in opened.names if name.lower().endswith(".jpg")}
    masks = next((source / n for n in MASKS if (source / n).exists()), None)
    mask_names = {} if masks is None else _mask_names(masks, left_out)
    dropped: collections.Counter[str] = collections.Counter()
    pieces, used = [], 0
    for split, found in poses.items():
        whole = {name: pose for name, pose in found.items() if _shows_complete_body(pose)}
        dropped["images without the whole body"] += len(found) - len(whole)
        chosen = _chosen(whole, _groups(source, split, whole, left_out, dropped), kind, dropped)
        chosen = {name: _with_depth(pose, in_space.get(name)) for name, pose in chosen.items()}
        used += len(chosen)
        # Counted with the dropped ones, but they are used: taken out again below, for a note.
        dropped["flat"] += sum(pose.joints_mm is None for pose in chosen.values())
        # A name that no file has stays, so that the missing image is reported by it.
        located = [
            dataclasses.replace(pose, image=by_flat.get(name, name))
            for name, pose in chosen.items()
        ]
        stems = [(name, pathlib.PurePath(name).stem) for name in chosen if masks is not None]
        every = pictures.Pictures(
            "",
            split,
            images,
            tuple(located),
            masks,
            tuple(mask_names.get(name, f"{stem}.png") for name, stem in stems),
            plain=True,
            frame=FRAME,
        )
        pieces += pictures.cut_into_pieces(every)
    notes = []
    if flat := dropped.pop("flat"):
        notes.append(f"{flat} of {used} poses have no depth: {POSES} has none for them")
    if masks is None:
        notes.append("there is no masks/: what has the colour of an image's border is background")
    return Found(pieces, left_out, notes, {reason: n for reason, n in dropped.items() if n})


def _listed(source: pathlib.Path, what: str, split: str) -> pathlib.Path:
    """The path of a list, in the spelling that is there."""
    # Where neither is there, the first spelling is the one that is reported as missing.
    paths = [source / f"{spelling}-{what}-{split}.csv" for spelling in _SPELLINGS]
    return next((path for path in paths if path.exists()), paths[0])


def _poses(source: pathlib.Path, split: str, left_out: list[str]) -> dict[str, Pose]:
    """The keypoints of a split by flattened names, with person and outfit out of the names."""
    path = _listed(source, "annotation", split)
    if not path.exists():
        left_out.append(f"{path}: is missing")
        return {}
    poses = {}
    # A line that cannot be read is left out and named; the others count.
    for pose in keypoint_files.read(path, "openpose_18", lambda error: left_out.append(str(error))):
        said = names.parse(pose.image)
        if said is None:
            left_out.append(f"{pose.where}: is no name of an image of DeepFashion In-shop")
            continue
        poses[pose.image] = dataclasses.replace(pose, person=said.person, outfit=said.outfit)
    return poses


def _in_space(source: pathlib.Path, left_out: list[str]) -> dict[str, Pose]:
    """Poses with joints in space (mm), by flattened names."""
    path = source / POSES
    if not path.exists():
        return {}
    poses = keypoint_files.read(path, reject=lambda error: left_out.append(str(error)))
    return {names.flatten(pose.image): pose for pose in poses if pose.joints_mm is not None}


def _mask_names(masks: pathlib.Path, left_out: list[str]) -> dict[str, str]:
    """The names of masks by the flattened names of their images."""
    opened = sources.open_source(masks)
    left_out += opened.refused
    return {
        # A mask has the name of its image, but is a PNG.
        str(pathlib.PurePosixPath(names.flatten(name)).with_suffix(".jpg")): name
        for name in opened.names
    }


def _shows_complete_body(pose: Pose) -> bool:
    """Whether all of our joints are known, wherever they are."""
    nowhere = np.zeros((len(pose.visible), 2))
    return bool(joint_orders.to_skeleton(nowhere, pose.visible, pose.order)[1].all())


def _with_depth(pose: Pose, other: Pose | None) -> Pose:
    """A pose with another one's joints in space; in our order where the two orders differ."""
    if other is None:
        return pose
    if pose.order != other.order:
        # Joints of different orders can be put together only in one that both can be brought to.
        pose, other = keypoint_files.to_skeleton(pose), keypoint_files.to_skeleton(other)
    return dataclasses.replace(
        pose, joints_mm=other.joints_mm, visible=pose.visible & other.visible
    )


def _groups(
    source: pathlib.Path,
    split: str,
    whole: dict[str, Pose],
    left_out: list[str],
    dropped: collections.Counter[str],
) -> Iterable[set[str]]:
    """Names of images of one person in one outfit that the list pairs with one another."""
    path = _listed(source, "pairs", split)
    if not path.exists():
        left_out.append(f"{path}: is missing")
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        left_out.append(f"{path}: cannot be read ({error})")
        return []
    groups: dict[tuple[str, str], set[str]] = {}
    # Lines are counted from 1, and the first one has the names of the columns.
    for number, row in enumerate(csv.reader(lines[1:]), 2):
        if len(row) != 2:
            left_out.append(f"{path} line {number}: must be two names, got {len(row)} values")
            continue
        # Counted apart: such a pair is no fault of the list, its images were dropped above.
        if not set(row) <= set(whole):
            dropped["pairs without two whole bodies"] += 1
            continue
        first, second = (whole[name] for name in row)
        if (first.person, first.outfit) != (second.person, second.outfit):
            dropped["pairs of two persons or outfits"] += 1
        # An image paired with itself teaches nothing, and gives no partner.
        elif row[0] != row[1]:
            groups.setdefault((first.person, first.outfit), set()).update(row)
    return groups.values()


def _chosen(
    whole: dict[str, Pose],
    groups: Iterable[set[str]],
    kind: str,
    dropped: collections.Counter[str],
) -> dict[str, Pose]:
    """The images of one kind, by flattened names.

    An image without a partner gets an outfit of its own, so that no other image is drawn to go with
    it.
    """
    paired = set(itertools.chain.from_iterable(groups))
    if kind == "paired":
        dropped["images without a partner, see single-256"] += len(whole) - len(paired)
        return {name: pose for name, pose in whole.items() if name in paired}
    dropped["images with a partner, see paired-256"] += len(paired)
    return {
        name: dataclasses.replace(pose, outfit=name)
        for name, pose in whole.items()
        if name not in paired
    }
