"""Files of poses: each format read, our own written and read again, everything odd named."""

import json

import numpy as np
import pytest

from volsynth import cli, skeleton
from volsynth.errors import UserError
from volsynth.poses import joint_orders, keypoint_files


def _ours(tmp_path, *poses, **head):
    path = tmp_path / "poses.json"
    content = {"format": "volsynth-keypoints", "version": 1, "order": "volsynth_15"}
    path.write_text(json.dumps({**content, "poses": list(poses), **head}))
    return path


def _points(axes=2, count=15):
    return np.arange(count * axes, dtype=float).reshape(count, axes).tolist()


def test_our_own_format_keeps_everything(tmp_path):
    rng = np.random.default_rng(0)
    visible = np.ones(15, bool)
    visible[4] = False
    pose = keypoint_files.Pose(
        "volsynth_15",
        visible,
        np.where(visible[:, None], rng.uniform(0, 200, (15, 2)).round(4), 0),
        np.where(visible[:, None], rng.uniform(0, 3000, (15, 3)).round(4), 0),
        image="a/b.png",
        person="p",
        outfit="o",
        action="walk",
        camera="c",
        frame=7,
        intrinsics=np.array([[300.0, 0, 99.5], [0, 301, 98], [0, 0, 1]]),
    )
    keypoint_files.write(tmp_path / "out.json", [pose, pose])
    first, second = keypoint_files.read(tmp_path / "out.json")
    for key in ("order", "image", "person", "outfit", "action", "camera", "frame"):
        assert getattr(first, key) == getattr(pose, key)
    for key in ("visible", "joints_px", "joints_mm", "intrinsics"):
        np.testing.assert_array_equal(getattr(first, key), getattr(pose, key))
    assert second.where == f"{tmp_path}/out.json: pose 1 (a/b.png)"


def test_a_joint_that_is_null_or_not_visible_is_not_known(tmp_path):
    joints = _points()
    joints[3] = None
    flags = [True] * 15
    flags[5] = False
    (pose,) = keypoint_files.read(_ours(tmp_path, {"joints_px": joints, "visible": flags}))
    assert np.flatnonzero(~pose.visible).tolist() == [3, 5]
    assert not pose.joints_px[[3, 5]].any()


def test_poses_of_several_orders_are_not_one_file(tmp_path):
    poses = [
        keypoint_files.Pose(order, np.ones(n, bool), np.ones((n, 2)))
        for order, n in (("coco_17", 17), ("volsynth_15", 15))
    ]
    with pytest.raises(keypoint_files.KeypointError, match="one order, got coco_17, volsynth_15"):
        keypoint_files.write(tmp_path / "out.json", poses)


@pytest.mark.parametrize(
    ("pose", "message"),
    [
        ({"joints_px": _points(count=14)}, r"pose 0: 'joints_px' must have 15 joints .*, got 14"),
        ({"joints_px": 3}, "'joints_px' must have 15 joints .*, got 3"),
        ({"joints_px": _points(axes=3)}, "must be null or 2 numbers within 1e.06, got .0.0, 1.0"),
        ({"joints_mm": [["1", 2, 3]] * 15}, "must be null or 3 numbers"),
        ({"joints_mm": [[1e7, 2, 3]] * 15}, "must be null or 3 numbers"),
        ({"joints_px": [[True, 2]] * 15}, "must be null or 2 numbers"),
        ({"image": "a.png"}, r"pose 0 \(a.png\) has neither 'joints_px' nor 'joints_mm'"),
        ({"joints_px": _points(), "visible": [1] * 15}, "'visible' must be 15 times true or false"),
        ({"joints_px": _points(), "visible": [True] * 14}, "'visible' must be 15 times"),
        ({"joints_px": _points(), "frame": -1}, "'frame' must be a number from 0, got -1"),
        ({"joints_px": _points(), "person": 3}, "'person' must be text, got 3"),
        ({"joints_px": _points(), "intrinsics": [[1, 0, 0]]}, "'intrinsics' must be 3 rows"),
        (
            {"joints_px": _points(), "intrinsics": [[0, 0, 1], [0, 1, 1], [0, 0, 1]]},
            "must have positive focal lengths and end with 0, 0, 1",
        ),
        ({"joints": []}, "pose 0 has 'joints'. Allowed: action, camera, frame, image"),
        ([1], "pose 0 has '.1.'. Allowed"),
    ],
)
def test_a_pose_that_is_wrong_is_named_and_the_rest_read(tmp_path, pose, message):
    path = _ours(tmp_path, pose, {"joints_px": _points()})
    with pytest.raises(keypoint_files.KeypointError, match=message):
        keypoint_files.read(path)
    left_out = []
    assert len(keypoint_files.read(path, reject=left_out.append)) == 1
    assert len(left_out) == 1


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"format": "other"}, "'format' and 'version' must be 'volsynth-keypoints' and 1"),
        ({"version": 2}, "got 'volsynth-keypoints' and 2"),
        ({"order": "coco"}, "no order of joints 'coco'"),
        ({"order": 3}, "'order' must be the name of an order, got 3"),
        ({"poses": {}}, "'poses' must be a list, got {}"),
    ],
)
def test_a_head_that_is_wrong_is_named(tmp_path, head, message):
    with pytest.raises(UserError, match=message):
        keypoint_files.read(_ours(tmp_path, **head))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"{", "is not JSON"),
        ("a.json", b"[" * 100_000, "is not JSON"),
        ("a.json", b'{"format": NaN}', "NaN is no number"),
        ("a.json", b"\xff\xfe", "is not text in UTF-8"),
        ("a.json", b"[]", "has no known format"),
        ("a.csv", b"", "its first line must name the columns"),
        ("a.csv", b"image,x,y\n", "its first line must name the columns"),
    ],
)
def test_a_file_of_no_format_is_named(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(keypoint_files.KeypointError, match=message):
        keypoint_files.read(path)


def test_files_that_are_missing_or_too_large_are_named(tmp_path, monkeypatch):
    with pytest.raises(keypoint_files.KeypointError, match=r"a\.json cannot be read: No such file"):
        keypoint_files.read(tmp_path / "a.json")
    with pytest.raises(keypoint_files.KeypointError, match=r"has no \*.json"):
        keypoint_files.read(tmp_path)
    path = _ours(tmp_path)
    monkeypatch.setattr(keypoint_files, "MOST_BYTES", 10)
    with pytest.raises(keypoint_files.KeypointError, match="is larger than 0 MB"):
        keypoint_files.read(path)


# --- CSV -----------------------------------------------------------------------------------------


def test_our_csv_has_a_column_for_every_coordinate(tmp_path):
    names = [f"{joint}_{axis}_px" for joint in skeleton.JOINTS for axis in "xy"]
    values = [str(v + 0.25) for v in range(30)]
    values[8:10] = ["", ""]
    path = tmp_path / "poses.csv"
    path.write_text(
        ",".join(["image", "person", "frame", *names])
        + "\n"
        + ",".join(["a.png", "p", "3", *values])
    )
    (pose,) = keypoint_files.read(path)
    assert (pose.image, pose.person, pose.frame, pose.order) == ("a.png", "p", 3, "volsynth_15")
    assert np.flatnonzero(~pose.visible).tolist() == [4]
    np.testing.assert_array_equal(pose.joints_px[2], [4.25, 5.25])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["1"] * 29, "line 2 has 29 values where the first has 30"),
        (["", *["1"] * 29], "line 2: could not convert string to float: ''"),
        (["x", *["1"] * 29], "could not convert"),
        (["nan", *["1"] * 29], "must be null or 2 numbers"),
    ],
)
def test_a_line_of_our_csv_that_is_wrong_is_named(tmp_path, row, message):
    names = [f"{joint}_{axis}_px" for joint in skeleton.JOINTS for axis in "xy"]
    path = tmp_path / "poses.csv"
    path.write_text(",".join(names) + "\n" + ",".join(row) + "\n")
    with pytest.raises(keypoint_files.KeypointError, match=message):
        keypoint_files.read(path)


def test_pose_gan_has_y_before_x_and_counts_from_the_centre_of_a_pixel(tmp_path):
    y, x = list(range(100, 118)), list(range(18))
    x[16] = y[16] = -1
    path = tmp_path / "annotation.csv"
    path.write_text(f"name:keypoints_y:keypoints_x\na.jpg: {y}: {x}\nb.jpg: {y}: {x[:17]}\n")
    with pytest.raises(
        keypoint_files.KeypointError, match=r"line 3 \(b.jpg\): x must be 18 numbers"
    ):
        keypoint_files.read(path)
    (pose,) = keypoint_files.read(path, "openpose_18", lambda error: None)
    assert pose.image == "a.jpg"
    np.testing.assert_array_equal(pose.joints_px[3], [3.5, 103.5])
    assert np.flatnonzero(~pose.visible).tolist() == [16]
    with pytest.raises(keypoint_files.KeypointError, match="order openpose_18, not coco_17"):
        keypoint_files.read(path, "coco_17")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.jpg:[1]", "must be NAME:"),
        ("a.jpg:[1]:x", "y and x must be lists of numbers"),
        ("a.jpg:1:2", "must be NAME:"),
    ],
)
def test_a_line_of_pose_gan_that_is_wrong_is_named(tmp_path, line, message):
    path = tmp_path / "annotation.csv"
    path.write_text(f"name:keypoints_y:keypoints_x\n{line}\n")
    with pytest.raises(keypoint_files.KeypointError, match=message):
        keypoint_files.read(path)


# --- JSON of others ------------------------------------------------------------------------------


def _openpose(*people):
    return json.dumps({"version": 1.3, "people": [{"pose_keypoints_2d": p} for p in people]})


@pytest.mark.parametrize(("count", "order"), [(18, "openpose_18"), (25, "openpose_25")])
def test_openpose_says_its_order_by_its_length_and_the_largest_person_counts(
    tmp_path, count, order
):
    near = np.concatenate([np.arange(2.0 * count).reshape(-1, 2), np.ones((count, 1))], 1)
    far = near * [0.5, 0.5, 1]
    near[4, 2] = 0
    folder = tmp_path / "poses"
    folder.mkdir()
    people = [far.ravel().tolist(), near.ravel().tolist()]
    (folder / "walk_12_keypoints.json").write_text(_openpose(*people))
    (pose,) = keypoint_files.read(folder)
    assert (pose.order, pose.image) == (order, "walk_12")
    assert np.flatnonzero(~pose.visible).tolist() == [4]
    np.testing.assert_array_equal(pose.joints_px[2], [4.5, 5.5])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_openpose(), "has nobody in 'people'"),
        (_openpose([1.0] * 51), "must have 54 numbers .openpose_18. or 75 .openpose_25., got 51"),
        (_openpose(["a"] * 54), "joints must be numbers"),
        ('{"people": [3]}', "got null"),
    ],
)
def test_a_file_of_openpose_that_is_wrong_is_named_and_the_rest_read(tmp_path, content, message):
    (tmp_path / "a_keypoints.json").write_text(content)
    (tmp_path / "b_keypoints.json").write_text(_openpose([1.0] * 54))
    (tmp_path / "c_keypoints.json").write_text("{")
    left_out = []
    assert [p.image for p in keypoint_files.read(tmp_path, None, left_out.append)] == ["b"]
    assert len(left_out) == 2
    with pytest.raises(keypoint_files.KeypointError, match=message):
        keypoint_files.read(tmp_path)


def test_coco_finds_its_images_by_their_id(tmp_path):
    joints = np.concatenate([np.arange(34.0).reshape(-1, 2), np.full((17, 1), 2)], 1)
    joints[2] = 0
    some = {"image_id": 5, "keypoints": joints.ravel().tolist(), "num_keypoints": 16}
    path = tmp_path / "person_keypoints.json"

    def write(*annotations):
        images = [{"id": 5, "file_name": "x.jpg"}]
        path.write_text(json.dumps({"images": images, "annotations": annotations}))

    write(some, {"image_id": 5, "num_keypoints": 0})
    (pose,) = keypoint_files.read(path)
    assert (pose.image, pose.order) == ("x.jpg", "coco_17")
    assert np.flatnonzero(~pose.visible).tolist() == [2]
    np.testing.assert_array_equal(pose.joints_px[1], [2.5, 3.5])
    for change, message in (
        ({"image_id": 6}, "annotation 0: no image has its 'image_id'"),
        ({"keypoints": [1] * 50}, "'keypoints' must have 51 numbers, got 50"),
        ({"keypoints": ["a"] * 51}, "joints must be numbers"),
    ):
        write({**some, **change})
        with pytest.raises(keypoint_files.KeypointError, match=message):
            keypoint_files.read(path)
    path.write_text('{"images": []}')
    with pytest.raises(
        keypoint_files.KeypointError, match="'images' and 'annotations' must be lists"
    ):
        keypoint_files.read(path)


# --- the command ---------------------------------------------------------------------------------


def test_the_command_converts_what_it_can_and_says_what_it_left_out(tmp_path, capsys):
    source, out = tmp_path / "in", tmp_path / "out.json"
    source.mkdir()
    (source / "a_keypoints.json").write_text(_openpose(list(range(1, 55))))
    command = ["data", "convert-keypoints", "--from", "openpose_18", str(source), str(out)]
    assert cli.main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"poses": 1, "left_out": 0, "out": str(out)}
    (pose,) = keypoint_files.read(out)
    assert pose.order == joint_orders.VOLSYNTH_15
    # The right wrist is OpenPose's fifth joint, numbers 13 and 14 here.
    np.testing.assert_array_equal(pose.joints_px[skeleton.INDEX["right_wrist"]], [13.5, 14.5])
    (source / "b_keypoints.json").write_text(_openpose([1.0] * 51))
    assert cli.main(command) == 1
    found = capsys.readouterr()
    assert found.out == f"{out}: 1 poses, 1 left out\n"
    assert found.err.startswith(f"volsynth: left out: {source}/b_keypoints.json: 'pose_keypoints")
    assert found.err.count("\n") == 1
