"""Pictures as people bring them, and models that show where they were told to put somebody."""

import dataclasses
import pathlib

import jax.numpy as jnp
import numpy as np
from PIL import Image
from seen_people import see

from volsynth import skeleton
from volsynth.config import config_from_dict
from volsynth.export import exported_model
from volsynth.generation import estimation, pictures
from volsynth.images import cropping
from volsynth.ops import pose_volumes
from volsynth.photographs import persons as photographs
from volsynth.poses import joint_orders, keypoint_files, pose_library
from volsynth.system import Player, Stages, System, evaluation_context

FIELDS = ("source_image", "source_joints", "source_visible", "target_joints", "target_visible")
SIDE = 32


def bring(folder, kind="mask", person=8003, shot=1):
    """A rendered person in a picture of 120 x 160 pixels, its pose and what tells the background.

    Args:
      folder: to write to.
      kind: "mask": JPEG and a file with the mask; "alpha": PNG; "magenta": JPEG on magenta; "none".
      person: number.
      shot: which action and camera of its.

    Returns:
      the names of files: {"image", "pose", "mask" or None}, and the person's mask.
    """
    folder = pathlib.Path(folder)
    magenta = (255, 0, 255) if kind == "magenta" else None
    seen = see(person, shot, size=160, place=(0.45, 0.55), background=magenta).sighting
    image, mask = seen.image[:, 20:140], seen.mask[:, 20:140]
    path = folder / ("picture.png" if kind == "alpha" else "picture.jpg")
    if kind == "alpha":
        image = np.dstack([image, 255 * mask.astype(np.uint8)])
    Image.fromarray(image).save(path, **({} if kind == "alpha" else {"quality": 95}))
    found = {"image": path, "pose": folder / "pose.json", "mask": None}
    if kind == "mask":
        found["mask"] = folder / "mask.png"
        Image.fromarray(255 * mask.astype(np.uint8)).save(found["mask"])
    intrinsics = seen.camera.intrinsics - np.array([[0, 0, 20], [0, 0, 0], [0, 0, 0]])
    pose = keypoint_files.Pose(
        joint_orders.VOLSYNTH_15,
        seen.visible,
        seen.joints_px - (20, 0),
        seen.joints_mm,
        image=path.name,
        intrinsics=intrinsics,
    )
    keypoint_files.write(found["pose"], [pose])
    return found, mask


def _model(task, inputs, run):
    card = {"task": task, "image_size": SIDE, "inputs": dict.fromkeys(inputs)}
    config = config_from_dict({"system": "none", "data": {"image_size": SIDE}})
    return exported_model.Model(pathlib.Path("model"), config, card, {}, run, True)


def dots():
    """A model that puts a dot on every target joint, on magenta."""

    def run(parameters, batch):
        del parameters
        return _dots(batch["target_joints"], batch["target_visible"], jnp.array([-0.5, 0.5, -0.5]))

    return _model("image", FIELDS, run)


def _dots(joints, visible, colour):
    near = pose_volumes.heatmaps(joints, visible, (SIDE, SIDE, 1), SIDE, 0.9, flat=True)
    near = near.max(axis=(3, 4))[..., None]
    return jnp.where(near > 0.4, colour, jnp.array([1.0, -1.0, 1.0]))


def _encode(variables, batch):
    kernel = variables["generator"]["params"]["kernel"]
    return {"colour": kernel * batch["source_image"].mean(axis=(1, 2))[:, None, None]}


def _move(variables, features, batch):
    width = jnp.ptp(batch["source_joints"][..., 0], axis=1) / SIDE
    return {"colour": features["colour"] * width[:, None, None, None]}


def _render(variables, moved, batch):
    return {"image": _dots(batch["target_joints"], batch["target_visible"], moved["colour"])}


def halves_system(config=None):
    """A system whose source can be encoded once, and that compiles at once: its dots have the
    colour of the source's image, more of it the wider the source's pose is."""

    def forward(variables, batch, context):
        moved = _move(variables, _encode(variables, batch), batch)
        return _render(variables, moved, batch), {}

    def loss(variables, outputs, batch, context):
        return {"l2": jnp.mean(outputs["image"] ** 2)}, {}

    return System(
        "halves",
        "-",
        lambda rng, batch: {"generator": {"params": {"kernel": jnp.zeros(3)}}},
        forward,
        {"main": {"player": Player(("generator",), loss)}},
        inputs=FIELDS,
        stages=Stages(_encode, _move, _render),
    )


def halves():
    """A model of `halves_system`; `systems.SYSTEMS` must have it under the name "halves"."""
    kernel, system = np.array([0.9, 0.5, -0.7], np.float32), halves_system()

    def run(parameters, batch):
        variables = {"generator": {"params": {"kernel": parameters["generator/kernel"]}}}
        return system.forward(variables, batch, evaluation_context())[0]["image"]

    model = _model("image", FIELDS, run)
    config = config_from_dict({"system": "halves", "data": {"image_size": SIDE}})
    numbers = {"generator/kernel": kernel}
    return exported_model.Model(model.path, config, model.card, numbers, run, False)


def finder(joints_px, joints_mm):
    """An estimator that finds the same pose in every picture, in pixels of its square."""

    def run(parameters, batch):
        del parameters
        count = batch["target_image"].shape[0]
        return {
            "joints_mm": jnp.repeat(jnp.asarray(joints_mm, jnp.float32)[None], count, 0),
            "joints_px": jnp.repeat(jnp.asarray(joints_px, jnp.float32)[None], count, 0),
        }

    return _model("pose", ("target_image",), run)


def estimator(monkeypatch, source, mask):
    """Makes every estimator find the source's pose, wherever it lies in the square around a mask.

    Returns:
      that pose.
    """
    (pose,) = keypoint_files.read(source.pose)
    corner, extent = cropping.square_around_mask(mask)
    px = (pose.joints_px - corner) * SIDE / extent
    mm = pose.joints_mm - pose.joints_mm[list(skeleton.HIPS)].mean(axis=0)
    found = finder(px, mm)
    monkeypatch.setattr(estimation, "load_estimator", lambda path: found)
    return pose


def photograph(monkeypatch, *sources):
    """Makes the persons whom pictures show those of the sources, in this order.

    Returns:
      the persons.
    """
    found = []
    for source in sources:
        (pose,) = keypoint_files.read(source.pose)
        mask = pictures.read_picture(source.image, source.mask).mask.astype(float)
        mm = pose.joints_mm - pose.joints_mm[list(skeleton.HIPS)].mean(axis=0)
        sure = pose.visible.astype(float)
        found.append(photographs.Person(pose.joints_px, mm, sure, pose.visible, mask, 1.0))
    monkeypatch.setattr(photographs, "find_person", lambda image: next(iter(found), None))
    monkeypatch.setattr(photographs, "find_persons", lambda image: found)
    return found


def write_motion(path, names, frames=None):
    """Writes named poses as frames."""
    poses = [
        dataclasses.replace(pose_library.named_pose(name), frame=number)
        for name, number in zip(names, frames or range(len(names)))
    ]
    keypoint_files.write(path, poses)
    return path
