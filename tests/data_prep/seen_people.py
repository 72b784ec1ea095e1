"""Sightings of rendered people, as a reader of an archive would make them; everything is known."""

import dataclasses

import numpy as np

from data_prep.building.sighting import Camera, Sighting
from data_prep.posed_people import plan
from data_prep.posed_people.body import figure
from data_prep.posed_people.motion import actions
from data_prep.posed_people.rendering import records, scene
from volsynth import skeleton
from volsynth.poses import joint_orders

SIZE = 160


@dataclasses.dataclass(frozen=True)
class Seen:
    """A sighting, and what only the renderer knows: the part labels of the frame."""

    sighting: Sighting
    parts: np.ndarray


def see(
    person=0,
    shot=0,
    size=SIZE,
    order=joint_orders.VOLSYNTH_15,
    fill=0.6,
    place=(0.5, 0.5),
    background=None,
) -> Seen:
    """A rendered person somewhere in a frame with a background of its own.

    Args:
      person: number.
      shot: which action, frame and camera of its.
      size: side of the frame.
      order: of the joints; those that are not ours are put at the pelvis.
      fill: share of the frame that the person takes.
      place: of the person's centre, as shares of the frame.
      background: colour; None for noise.
    """
    group = plan.Group(person, 0)
    seen = plan.shots(group, shot + 1, len(scene.CAMERAS), records.SEED)[shot]
    dressed = records.dressed(group)
    seconds = seen.frame / plan.FPS
    style, rng = records.sequence(group, seen.action, records.SEED)
    points, joints = figure.place(dressed, actions.pose_at(seen.action, seconds, style))
    camera, spot = scene.CAMERAS[seen.camera], records.placement(rng, seconds)
    points = scene.to_camera(scene.to_world(points, spot), camera)
    joints = scene.to_camera(scene.to_world(joints, spot), camera).astype(float)
    intrinsics = scene.crop_intrinsics(points, camera, size).astype(float)
    intrinsics[:2] *= fill / (1 - 2 * scene.MARGIN)
    middle = points.mean(axis=0) @ intrinsics.T
    intrinsics[:2, 2] += np.multiply(place, size) - middle[:2] / middle[2]
    picture = scene.render(dressed, points, camera.rotation[:, 2], intrinsics, size)
    mask = picture.mask[..., 0] > 0
    noise = np.random.default_rng(person).integers(0, 256, picture.image.shape, np.uint8)
    behind = noise if background is None else np.array(background, np.uint8)
    mm, visible = _in_order(joints, order)
    projected = mm @ intrinsics.T
    return Seen(
        Sighting(
            image=np.where(mask[..., None], picture.image, behind),
            mask=mask,
            joints_px=projected[:, :2] / projected[:, 2:],
            joints_mm=mm,
            visible=visible,
            order=order,
            camera=Camera(
                intrinsics,
                camera.rotation.astype(float),
                camera.position.astype(float),
                np.zeros(5),
            ),
            person=plan.person_name(person),
            outfit="a",
            action=seen.action,
            camera_id=camera.name,
            frame=seen.frame,
            where=f"person {person} shot {shot}",
        ),
        picture.parts[..., 0],
    )


def crop_of(record, seen: Seen):
    """The corner (pixels of the frame) and the scale of a sighting's record, from its joints."""
    frame, crop = seen.sighting.joints_px, record["original_px"].astype(float)
    middle = frame.mean(axis=0)
    scale = np.sum((frame - middle) * (crop - crop.mean(axis=0))) / np.sum((frame - middle) ** 2)
    return middle - crop.mean(axis=0) / scale, scale


def on_own_part(record, seen: Seen, mirrored=False) -> float:
    """Share of the limbs of a record whose middle shows that limb in the frame.

    A limb behind another shows the other: some shares below 1 are right.
    """
    corner, scale = crop_of(record, seen)
    joints = record["joints_px"][list(skeleton.MIRROR)] if mirrored else record["joints_px"]
    hits = []
    for label, part in enumerate(skeleton.PARTS, 1):
        if len(part.joints) == 2:
            middle = joints[list(part.joints)].mean(axis=0) / scale + corner
            hits.append(seen.parts[int(middle[1]), int(middle[0])] == label)
    return float(np.mean(hits))


def check_records(records, persons, atol=1.0):
    """Asserts that records are of these rendered people: joints, parts and pixels where they were.

    Args:
      records: {field: [N, ...]}, one of every person, in any order.
      persons: as rendered.
      atol: of the joints, pixels of the record.
    """
    assert len(records["image"]) == len(persons)
    left, right, wrong = [*persons], [], []
    for number in range(len(persons)):
        record = {key: value[number] for key, value in records.items()}

        def apart(seen, record=record):
            corner, scale = crop_of(record, seen)
            return np.abs((seen.sighting.joints_px - corner) * scale - record["original_px"])

        seen = left.pop(int(np.argmin([apart(seen).max() for seen in left])))
        assert apart(seen).max() < atol
        right.append(on_own_part(record, seen))
        wrong.append(on_own_part(record, seen, mirrored=True))
        corner, scale = crop_of(record, seen)
        rows, columns = np.nonzero(record["mask"][..., 0])
        x, y = ((np.stack([columns, rows]).T + 0.5) / scale + corner).astype(int).T
        inside = seen.sighting.mask[np.clip(y, 0, None), np.clip(x, 0, None)]
        assert inside.mean() > 0.85
        apart_colours = record["image"][rows, columns].astype(int) - seen.sighting.image[y, x]
        assert np.abs(apart_colours[inside]).mean() < 20
    assert np.mean(right) > 0.6
    assert np.mean(wrong) < 0.3


def _in_order(joints, order):
    names = joint_orders.find_order(order).joints
    pelvis = joints[list(skeleton.HIPS)].mean(axis=0)
    ours = dict(zip(skeleton.JOINTS, joints)) | {"pelvis": pelvis}
    head = {name: ours["head"] for name in ("nose", "right_ear", "left_ear")}
    ours |= head
    return np.array([ours.get(n, pelvis) for n in names]), np.ones(len(names), bool)
