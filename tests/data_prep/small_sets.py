"""Small folders of pictures in the layouts that users have, from rendered people."""

import json

import numpy as np
from PIL import Image
from seen_people import see

from volsynth.poses import keypoint_files

SIZE = 96


def save(path, image, alpha=None):
    """Writes an image, with an alpha channel where one is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if alpha is not None:
        image = np.concatenate([image, 255 * alpha[..., None].astype(np.uint8)], axis=-1)
    options = {"quality": 95} if path.suffix == ".jpg" else {}
    Image.fromarray(image).save(path, **options)


def pose_of(sighting, image, **changes):
    """The pose of a sighting as a file has it."""
    fields = {
        "joints_px": sighting.joints_px,
        "joints_mm": sighting.joints_mm,
        "intrinsics": sighting.camera.intrinsics,
        "image": image,
    }
    return keypoint_files.Pose(sighting.order, sighting.visible, **{**fields, **changes})


def write_folder(root, persons=3, shots=2):
    """A folder of images with alpha channels, one folder a person, and poses.json; its sightings
    by the names of the images."""
    seen = {}
    for person in range(persons):
        for shot in range(shots):
            name = f"p{person}/{shot}.png"
            seen[name] = see(person, shot, size=SIZE).sighting
            save(root / name, seen[name].image, seen[name].mask)
    poses = [pose_of(sighting, name) for name, sighting in seen.items()]
    keypoint_files.write(root / "poses.json", poses)
    return seen


def edit_poses(root, change):
    """Changes the list of poses of a folder's poses.json."""
    content = json.loads((root / "poses.json").read_text())
    change(content["poses"])
    (root / "poses.json").write_text(json.dumps(content))
