"""Rendering records, in this process or in several.

This module imports no TensorFlow, so that workers start fast.
"""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from data_prep.building import png, pools
from data_prep.posed_people import plan
from data_prep.posed_people.body import figure, outfit, person
from data_prep.posed_people.motion import actions, primitives
from data_prep.posed_people.plan import Group, Shot, Size
from data_prep.posed_people.rendering import scene
from volsynth.data import schema

SEED = 0
"""The seed of the data set, a part of its definition: another seed would be another version."""


class Batch(NamedTuple):
    """The records of one group, and what they cost.

    Attributes:
      records: keys and records, with images as PNG.
      seconds: processor time that was spent on them.
    """

    records: list[tuple[str, dict[str, Any]]]
    seconds: float


def sequence(group: Group, action: str, seed: int) -> tuple[primitives.Style, np.random.Generator]:
    """The style of a person's sequence of an action, and random numbers for where it happens.

    The outfit takes no part: a person moves alike in both, so that clothes can be compared.

    Args:
      group: the person and the outfit.
      action: the name of the action.
      seed: the seed of the data set.
    """
    rng = np.random.default_rng([seed, 5, group.person, actions.ACTION_NAMES.index(action)])
    return primitives.draw_style(rng), rng


def placement(rng: np.random.Generator, seconds: float) -> scene.Placement:
    """The person's place at a time: near the middle of the room, turning slowly.

    Args:
      rng: the random numbers of the sequence.
      seconds: the time.
    """
    start, heading, turn = (
        rng.uniform(-500, 500, 2),
        rng.uniform(0, 2 * np.pi),
        rng.uniform(-1, 1, 3),
    )
    # Millimetres: a person stays near the middle, where all four cameras see them.
    drift = 120 * np.array(
        [np.sin(0.5 * seconds + 3 * turn[0]), np.cos(0.4 * seconds + 3 * turn[1])]
    )
    return scene.Placement(start + drift, heading + 0.6 * turn[2] * np.sin(0.3 * seconds))


def record(
    dressed: figure.Figure, group: Group, shot: Shot, side: int, seed: int = SEED
) -> dict[str, Any]:
    """Renders one record; its images are arrays, not PNG.

    Args:
      dressed: the person in the outfit.
      group: their numbers.
      shot: what the person does, when, and which camera sees it.
      side: side of the image, pixels.
      seed: the seed of the data set.
    """
    seconds = shot.frame / plan.FPS
    style, rng = sequence(group, shot.action, seed)
    pose = actions.pose_at(shot.action, seconds, style)
    points, joints = figure.place(dressed, pose)
    camera, spot = scene.CAMERAS[shot.camera], placement(rng, seconds)
    points = scene.to_camera(scene.to_world(points, spot), camera)
    joints = scene.to_camera(scene.to_world(joints, spot), camera).astype(np.float32)
    # Cropped while it is rendered: the complete frame is never drawn.
    intrinsics = scene.crop_intrinsics(points, camera, side)
    picture = scene.render(dressed, points, camera.rotation[:, 2], intrinsics, side)
    # From the rounded values of the record, so that it agrees with itself.
    projected = joints.astype(float) @ intrinsics.astype(float).T
    return {
        "image": picture.image,
        "mask": picture.mask,
        "joints_px": (projected[:, :2] / projected[:, 2:]).astype(np.float32),
        "joints_mm": joints,
        "visible": np.ones(len(joints), bool),
        "camera_rotation": camera.rotation.astype(np.float32),
        "camera_position": camera.position.astype(np.float32),
        "camera_intrinsics": intrinsics,
        # Rendered pictures have no lens.
        "camera_distortion": np.zeros(5, np.float32),
        "person": plan.person_name(group.person),
        "outfit": plan.OUTFITS[group.outfit],
        "action": shot.action,
        "camera": camera.name,
        "frame": np.int64(shot.frame),
        "parts": picture.parts,
        "depth": picture.depth,
    }


def dressed(group: Group, seed: int = SEED) -> figure.Figure:
    """Draws the person of a group and dresses them in its outfit."""
    who = person.draw_person(group.person, seed)
    return figure.dress(who, outfit.draw_outfit(who, group.outfit, seed))


def render_group(group: Group, size: Size, seed: int = SEED) -> Batch:
    """Renders all records of a group, checked against the schema, with images as PNG."""
    # Processor time: processes wait for one another while shards are written.
    start = time.process_time()
    worn = dressed(group, seed)
    records = []
    for index, shot in enumerate(plan.shots(group, size.images, len(scene.CAMERAS), seed)):
        name = plan.key(group, index)
        decoded = record(worn, group, shot, size.side, seed)
        schema.validate(decoded, name)
        for field, spec in schema.FIELDS.items():
            if spec.kind == "image":
                decoded[field] = png.encode(decoded[field])
        records.append((name, decoded))
    return Batch(records, time.process_time() - start)


def render_split(
    size: Size, split: str, processes: int | None = None, seed: int = SEED
) -> Iterator[Batch]:
    """Renders the groups of a split, in order.

    Args:
      size: what the configuration renders.
      split: the split.
      processes: how many processes render; None for all cores. The number changes no byte.
      seed: the seed of the data set.
    """
    processes = pools.default_processes() if processes is None else processes
    yield from pools.in_order(render_group, list(plan.groups(size, split)), (size, seed), processes)
