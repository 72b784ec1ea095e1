"""Rendered records: labels, cameras, colours."""

import functools

import numpy as np
import pytest

from data_prep.posed_people import plan
from data_prep.posed_people.body import figure, outfit, person
from data_prep.posed_people.motion import actions, primitives
from data_prep.posed_people.plan import Group, Shot
from data_prep.posed_people.rendering import records, scene
from volsynth import conventions, skeleton
from volsynth.data import schema

GROUPS = (Group(0, 0), Group(3, 1), Group(4, 0), Group(6, 1), Group(7001, 0))
_dressed = functools.cache(records.dressed)


@functools.cache
def _records():
    names = actions.ACTION_NAMES
    return [
        records.record(
            _dressed(group), group, Shot(names[(5 * i + j) % len(names)], 61 * i + 7, j), 64
        )
        for i, group in enumerate(GROUPS)
        for j in range(4)
    ]


def _front_view(worn, action="idle", size=128, heading=0.0, ambient=True, style_seed=0):
    """A picture with the first camera straight ahead of the figure, turned by `heading`."""
    camera = scene.CAMERAS[0]
    toward = np.arctan2(camera.position[1], camera.position[0])
    style = primitives.draw_style(np.random.default_rng(style_seed))
    points, joints = figure.place(worn, actions.pose_at(action, 0.3, style))
    spot = scene.Placement(np.zeros(2), toward + heading)
    points, joints = (scene.to_camera(scene.to_world(p, spot), camera) for p in (points, joints))
    k = scene.crop_intrinsics(points, camera, size)
    picture = scene.render(worn, points, camera.rotation[:, 2], k, size, ambient_only=ambient)
    return picture, points, joints, k


def test_records_are_valid():
    for record in _records():
        schema.validate(record)


def test_labels_agree_on_where_the_person_is():
    for record in _records():
        mask = record["mask"][..., 0] > 0
        np.testing.assert_array_equal(mask, record["parts"][..., 0] > 0)
        np.testing.assert_array_equal(mask, record["depth"][..., 0] > 0)
        np.testing.assert_array_equal(mask, np.any(record["image"] != conventions.MAGENTA, axis=-1))


def test_no_pixel_of_a_person_is_nearly_magenta():
    for record in _records():
        r, g, b = record["image"][record["mask"][..., 0] > 0].astype(int).T
        assert np.max(np.minimum(r, b) - g) <= scene.MAX_PURPLE + 1


def test_purple_surfaces_are_held_off_magenta():
    worn = _dressed(Group(0, 0))
    cloth = worn.outfit.top_fabric._replace(base=np.array([255.0, 0, 255.0]), pattern="plain")
    picture, *_ = _front_view(worn._replace(outfit=worn.outfit._replace(top_fabric=cloth)))
    r, g, b = picture.image[picture.mask[..., 0] > 0].astype(int).T
    assert 90 < np.max(np.minimum(r, b) - g) <= scene.MAX_PURPLE + 1


def test_joints_px_are_the_projection_by_hand():
    for record in _records():
        k = record["camera_intrinsics"].astype(float)
        for (x, y, z), pixel in zip(record["joints_mm"].astype(float), record["joints_px"]):
            u = k[0, 0] * x / z + k[0, 2]
            v = k[1, 1] * y / z + k[1, 2]
            np.testing.assert_allclose(pixel, [u, v], atol=1e-4)


def test_cameras_look_at_people_upright():
    for record in _records():
        rotation = record["camera_rotation"].astype(float)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
        assert np.linalg.det(rotation) > 0
        up = rotation @ [0, 0, 1]
        assert up[1] < -0.9, "the image's y points down"
        world = record["joints_mm"] @ rotation + record["camera_position"]
        assert np.all(np.abs(world[:, :2]) < 2200)
        assert -1 < np.min(world[:, 2]) < 400
        assert 3500 < np.median(record["joints_mm"][:, 2]) < 6200


def test_the_person_fills_the_crop_up_to_the_margin():
    for record in _records():
        rows, columns = np.nonzero(record["mask"][..., 0])
        low = np.array([rows.min(), columns.min()])
        high = np.array([rows.max() + 1, columns.max() + 1])
        assert abs(np.max(high - low) - 64 * (1 - 2 * scene.MARGIN)) <= 2
        np.testing.assert_allclose(low + high, 64, atol=3)


def test_the_lowest_point_is_on_the_floor():
    style = primitives.draw_style(np.random.default_rng(1))
    for action in actions.ACTION_NAMES:
        points, _ = figure.place(_dressed(GROUPS[0]), actions.pose_at(action, 1.0, style))
        assert np.min(points[:, 1]) == pytest.approx(0.0, abs=1e-6)


def _limb_midpoints(joints_mm, intrinsics):
    for index, part in enumerate(skeleton.PARTS):
        if len(part.joints) == 2:
            middle = joints_mm[list(part.joints)].mean(0).astype(float)
            pixel = intrinsics.astype(float) @ middle
            yield index + 1, middle, pixel[:2] / pixel[2]


def test_parts_and_depth_at_the_middle_of_visible_limbs():
    right, near, total = 0, 0, 0
    for record in _records():
        parts, depth = record["parts"][..., 0], record["depth"][..., 0].astype(float)
        for label, middle, (u, v) in _limb_midpoints(
            record["joints_mm"], record["camera_intrinsics"]
        ):
            i, j = int(v), int(u)
            in_front = middle[2] - depth[i, j]
            if depth[i, j] == 0 or in_front > 150:
                continue
            total += 1
            around = parts[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2]
            right += label in around
            # The axis of a limb lies inside it: the surface is nearer, by about its radius.
            near += 15 < in_front < 130
    assert total > 80
    assert right / total > 0.93
    assert near / total > 0.93


def test_every_part_of_a_star_shaped_person_is_labelled_on_its_own_side():
    worn = _dressed(Group(0, 0))
    picture, _, joints, k = _front_view(worn, "jumping_jack", size=128, style_seed=5)
    parts = picture.parts[..., 0]
    assert set(range(1, 11)) <= set(np.unique(parts))
    columns = {
        name: np.nonzero(parts == 1 + i)[1].mean() for i, name in enumerate(skeleton.PART_NAMES)
    }
    # Seen from the front, the person's right is on the left of the image.
    for limb in ("upper_arm", "lower_arm", "upper_leg", "lower_leg"):
        assert columns[f"right_{limb}"] < columns["torso"] < columns[f"left_{limb}"]
    xy = joints @ k.T
    xy = xy[:, :2] / xy[:, 2:]
    assert xy[skeleton.INDEX["right_wrist"], 0] < xy[skeleton.INDEX["left_wrist"], 0]


def test_depth_lies_around_the_joints():
    worn = _dressed(Group(0, 0))
    picture, _, joints, k = _front_view(worn, "idle", size=128)
    for name, nearest, furthest in (
        ("head", 50, 150),
        ("right_knee", 25, 95),
        ("left_knee", 25, 95),
        ("neck", 25, 130),
        ("right_shoulder", 25, 110),
    ):
        joint = joints[skeleton.INDEX[name]]
        u, v, w = k @ joint
        surface = float(picture.depth[int(v / w), int(u / w), 0])
        assert nearest < joint[2] - surface < furthest, name


def test_a_pattern_is_sewn_to_the_body():
    worn = _dressed(Group(3, 0))
    seen = []
    for action in ("idle", "wave"):
        picture, points, _, k = _front_view(worn, action, size=256)
        xy = points @ k.T.astype(points.dtype)
        column, row = (xy[:, :2] / xy[:, 2:]).astype(int).T
        # Away from edges, where a pixel shows one surface only.
        visible = np.abs(picture.depth[row, column, 0] - points[:, 2]) < 6
        seen.append((visible, picture.image[row, column].astype(float)))
    both = seen[0][0] & seen[1][0]
    difference = np.abs(seen[0][1] - seen[1][1])[both].max(1)
    assert np.sum(both) > 500
    assert np.std(seen[0][1][both], axis=0).max() > 25, "a test on one colour would show nothing"
    assert np.mean(difference < 40) > 0.85


def test_colours_see_body_coordinates_only():
    worn = _dressed(Group(3, 0))
    mesh = worn.mesh
    attributes = np.concatenate([mesh.points, mesh.member[:, None], mesh.along[:, None]], 1)
    corner, order = mesh.triangles[:, 0], np.random.default_rng(0).permutation(len(mesh.triangles))
    args = mesh.piece, mesh.limb, attributes[corner]
    colour = figure.colours(worn, *args)
    np.testing.assert_array_equal(figure.colours(worn, *(a[order] for a in args)), colour[order])


@pytest.mark.parametrize("mark", outfit.MARKS)
def test_the_mark_is_on_the_chest_and_nowhere_else(mark):
    worn = _dressed(Group(0, 0))
    signal = np.array([1.0, 250.0, 3.0])
    worn = worn._replace(outfit=worn.outfit._replace(mark=mark, mark_colour=signal))
    front, back = (_front_view(worn, size=64, heading=h)[0] for h in (0.0, np.pi))
    shown = [np.all(np.abs(p.image - signal) < 12, axis=-1) for p in (front, back)]
    assert np.sum(shown[0]) >= 4
    assert np.all(front.parts[..., 0][shown[0]] == 1 + skeleton.PART_NAMES.index("torso"))
    assert np.sum(shown[1]) == 0


def test_two_outfits_of_a_person_differ_and_the_person_does_not():
    for number in range(60):
        who, again = (person.draw_person(number, 0) for _ in range(2))
        np.testing.assert_array_equal(who.scales, again.scales)
        tops = [outfit.draw_outfit(who, i, 0).top_fabric.base for i in (0, 1)]
        assert np.linalg.norm(tops[0] - tops[1]) > 30
        assert min(np.linalg.norm(top - who.skin) for top in tops) > 90, "looks like bare skin"


def test_no_cloth_is_near_magenta():
    for colours in (outfit.PALETTE, outfit.SHOE_COLOURS):
        assert np.max(np.minimum(colours[:, 0], colours[:, 2]) - colours[:, 1]) < 60


def test_a_record_is_a_function_of_its_ids():
    group = Group(8001, 1)
    shot = plan.shots(group, 4, 4, 0)[2]
    first = records.record(records.dressed(group), group, shot, 32)
    records.record(_dressed(Group(0, 0)), Group(0, 0), shot, 32)
    again = records.record(records.dressed(group), group, shot, 32)
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name], err_msg=name)


def test_cameras_of_one_moment_see_one_pose():
    group = Group(2, 0)
    worn = records.dressed(group)
    worlds = []
    for camera in range(4):
        r = records.record(worn, group, Shot("walk", 123, camera), 32)
        worlds.append(r["joints_mm"] @ r["camera_rotation"].astype(float) + r["camera_position"])
    for world in worlds[1:]:
        np.testing.assert_allclose(world, worlds[0], atol=0.01)
