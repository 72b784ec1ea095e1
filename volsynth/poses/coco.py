"""Poses of COCO's annotations of persons."""

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from volsynth.files import InMemory
from volsynth.poses.parsing import check_order, shorten, split_triples
from volsynth.poses.pose import KeypointError, Pose


def poses(
    path: pathlib.Path | InMemory, content: dict[str, Any], wanted: str | None
) -> Iterator[Callable[[], Pose]]:
    """A parser for every annotation; those without a joint are left out, as COCO's scores do.

    Args:
      path: the file.
      content: the file's JSON.
      wanted: the order of joints that the file must have; None for any.

    Raises:
      KeypointError: another order is wanted, or the file's lists are none.
    """
    order = check_order(path, wanted, "coco_17")
    images, annotations = content["images"], content.get("annotations")
    if not isinstance(images, list) or not isinstance(annotations, list):
        raise KeypointError(f"{path}: 'images' and 'annotations' must be lists.")
    # Ids as text: in a broken file an id may be a list, which cannot be a key.
    names = {str(i.get("id")): i.get("file_name") for i in images if isinstance(i, dict)}
    for number, found in enumerate(annotations):
        if isinstance(found, dict) and found.get("num_keypoints", 1) == 0:
            continue

        # Defaults bind the values of this turn of the loop; parsers run after it.
        def parse(found=found, where=f"{path}: annotation {number}"):
            values = found.get("keypoints") if isinstance(found, dict) else None
            if not isinstance(values, list) or len(values) != 51:
                got = len(values) if isinstance(values, list) else shorten(values)
                raise KeypointError(f"{where}: 'keypoints' must have 51 numbers, got {got}.")
            name = names.get(str(found.get("image_id")))
            if not isinstance(name, str):
                raise KeypointError(f"{where}: no image has its 'image_id'.")
            joints, visible = split_triples(values, where)
            return Pose(order, visible, joints, image=name, where=f"{where} ({name})")

        yield parse
