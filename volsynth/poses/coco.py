"""COCO's annotations of persons."""

from volsynth.poses.parsing import agree, short, triples
from volsynth.poses.pose import KeypointError, Pose


def poses(path, content, wanted):
    """A parser for every annotation; those without a joint are left out, as COCO does."""
    order = agree(path, wanted, "coco_17")
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
                got = len(values) if isinstance(values, list) else short(values)
                raise KeypointError(f"{where}: 'keypoints' must have 51 numbers, got {got}.")
            name = names.get(str(found.get("image_id")))
            if not isinstance(name, str):
                raise KeypointError(f"{where}: no image has its 'image_id'.")
            joints, visible = triples(values, where)
            return Pose(order, visible, joints, image=name, where=f"{where} ({name})")

        yield parse
