"""A motion of a person: the source looked at once, still frames, order, and mistakes."""

import dataclasses
import json
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np
import own_pictures
import pytest
from PIL import Image

from volsynth import cli, systems
from volsynth.bench import generation
from volsynth.config import config_from_dict, load_config
from volsynth.errors import UserError
from volsynth.export import exported_model
from volsynth.generation import animate, backgrounds, motions, persons, render, staged
from volsynth.generation.bodies import to_body
from volsynth.generation.source import Source, read_person
from volsynth.images import reader
from volsynth.poses import keypoint_files, pose_library


@pytest.fixture(scope="module")
def volumetric():
    """A small volumetric model of random numbers, by its code."""
    config = load_config("configs/volumetric.py:smoke", [])
    side = config.data.image_size
    run, layout = exported_model.forward(systems.make(config), side)
    rng = np.random.default_rng(0)
    numbers = {
        name: 0.2 * rng.standard_normal(shape).astype(np.float32) for name, shape in layout.items()
    }
    card = {"task": "image", "image_size": side, "inputs": dict.fromkeys(own_pictures.FIELDS)}
    return exported_model.Model(pathlib.Path("m"), config, card, numbers, run, False)


@pytest.fixture
def source(tmp_path):
    found, _ = own_pictures.bring(tmp_path)
    return Source(found["image"], found["mask"], found["pose"])


def motion(path, names, frames=None):
    """Writes named poses as frames."""
    poses = [
        dataclasses.replace(pose_library.named_pose(name), frame=number)
        for name, number in zip(names, frames or range(len(names)))
    ]
    keypoint_files.write(path, poses)
    return path


NAMES = ["standing", "walking", "walking", "waving", "walking", "sitting", "kicking"]


def test_looking_at_the_source_once_makes_the_same_pictures(tmp_path, source, volumetric):
    who = read_person(source, volumetric.image_size, None)
    poses = motions.read_motion(motion(tmp_path / "m.json", NAMES))
    bodies, square = persons.fit_poses(poses, who)
    made = {}
    for maker in (staged.render_staged, render.render_whole):
        make = maker(volumetric, who, square, 3)
        made[maker] = np.stack(list(render.render_frames(make, bodies, 3))).astype(int)
    once, whole = made.values()
    assert len(once) == len(NAMES)
    assert np.abs(once - whole).max() <= 1
    # The pictures are of different poses, or the comparison would be of nothing.
    assert np.abs(np.diff(whole, axis=0)).max(axis=(1, 2, 3)).tolist() != [0] * 6
    np.testing.assert_array_equal(once[1], once[2])


def test_a_still_pose_is_made_once_and_every_batch_has_one_size():
    bodies = [to_body(pose_library.named_pose(name)) for name in NAMES]
    bodies += bodies[-1:] * 9
    calls = []

    def make(some):
        calls.append(len(some))
        return np.arange(len(some)) + 10 * len(calls)

    found = list(render.render_frames(make, bodies, 4))
    assert calls == [4, 2]
    assert found == [10, 11, 11, 12, 13, 20, 21, *[21] * 9]
    assert len(render.padded(bodies[:3], 4)) == 4
    moved = bodies[0]._replace(visible=np.arange(15) > 0)
    assert not render._same(bodies[0], moved)


def test_the_source_is_encoded_once(source, tmp_path, monkeypatch):
    calls = []

    class Generator:
        def apply(self, variables, *arguments, method):
            assert variables["params"]["before"]["kernel"].shape == (2,)
            calls.append((method, len(arguments[0])))
            move = method == "move"
            return (arguments[0], None) if move else jnp.zeros((len(arguments[0]), 32, 32, 3))

    config = config_from_dict({"system": "made up"})
    card = {"task": "image", "image_size": 32, "inputs": dict.fromkeys(own_pictures.FIELDS)}
    numbers = {"generator/before/kernel": np.zeros(2)}
    model = exported_model.Model(pathlib.Path("m"), config, card, numbers, lambda p, b: None, False)
    monkeypatch.setitem(staged.GENERATORS, "made up", lambda config: Generator())
    who = read_person(source, 32, None)
    bodies, square = persons.fit_poses([pose_library.named_pose(name) for name in NAMES[:4]], who)
    monkeypatch.setattr(jax, "jit", lambda function: function)
    make = staged.render_staged(model, who, square, 3)
    assert [len(make(some)) for some in (bodies[:3], bodies[3:])] == [3, 1]
    assert calls == [("encode", 1), *[("move", 3), ("render", 3)] * 2]


def test_frames_come_in_the_order_of_their_numbers(tmp_path):
    poses = motions.read_motion(motion(tmp_path / "m.json", NAMES[:3], [5, 0, 2]))
    assert [pose.frame for pose in poses] == [0, 2, 5]
    # Files of single pictures have no numbers.
    poses = motions.read_motion(motion(tmp_path / "m.json", NAMES[:3], [0, 0, 0]))
    assert [pose.action for pose in poses] == NAMES[:3]
    with pytest.raises(UserError, match="has several poses of one frame"):
        motions.read_motion(motion(tmp_path / "m.json", NAMES[:3], [1, 0, 1]))
    keypoint_files.write(tmp_path / "m.json", [])
    with pytest.raises(UserError, match="has 0 poses; a motion has 1 to 100,000"):
        motions.read_motion(tmp_path / "m.json")


def test_a_motion_is_a_file_or_a_name(tmp_path, monkeypatch):
    poses, fps = motions.find_motion("waving")
    assert [pose.action for pose in poses] == ["waving"] * 42
    assert fps == 25
    monkeypatch.chdir(tmp_path)
    # A file counts before a name.
    motion(pathlib.Path("waving.json"), NAMES[:2]).rename("waving")
    assert len(motions.find_motion("waving")[0]) == 2
    with pytest.raises(
        UserError, match=r"--motion w\.json is neither a file nor a motion's name; All"
    ):
        motions.find_motion("w.json")
    with pytest.raises(
        UserError, match=r"did you mean 'running'\? Allowed: dancing, .*walking, waving"
    ):
        motions.find_motion(pathlib.Path("runing"))


def test_a_named_motion_has_frames_per_second_of_its_own(tmp_path, source, monkeypatch):
    monkeypatch.setattr(render, "load_generator", lambda path, program=None: own_pictures.dots())
    monkeypatch.setattr(pose_library, "MOTION_FPS", 12.0)
    for fps, wanted in ((None, 12.0), (30.0, 30.0)):
        out = tmp_path / f"at{wanted:g}"
        made = animate.animate(pathlib.Path("m"), source, "walking", out, fps, "square")
        assert (made["fps"], made["frames"]) == (wanted, 28)


def test_a_clip_of_any_model(tmp_path, source, monkeypatch, capsys):
    monkeypatch.setattr(render, "load_generator", lambda path, program=None: own_pictures.dots())
    path = motion(tmp_path / "m.json", NAMES)
    arguments = ["animate", "--model", "m", "--image", str(source.image), "--mask"]
    arguments += [str(source.mask), "--source-pose", str(source.pose), "--motion", str(path)]
    assert cli.main([*arguments, "--out", str(tmp_path / "out"), "--batch", "3", "--json"]) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert err == ""
    assert (report["frames"], report["encoded_once"], report["fps"]) == (7, False, 25.0)
    frames = [reader.read_rgb(p) for p in sorted((tmp_path / "out").iterdir())]
    assert [frame.shape for frame in frames] == [(160, 120, 3)] * 7
    np.testing.assert_array_equal(frames[1], frames[2])
    np.testing.assert_array_equal(frames[1], frames[4])
    assert np.any(frames[2] != frames[3])
    for options, message in (
        (["--out", str(tmp_path / "a.gif"), "--batch", "0"], "--batch must be at least 1, got 0"),
        (["--out", str(tmp_path / "a.webm")], "must end in .mp4 or .gif"),
        (["--out", str(tmp_path / "out")], "is not empty"),
    ):
        assert cli.main([*arguments, *options]) == 2
        assert message in capsys.readouterr().err


def test_what_is_transparent_is_so_in_folders_only(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(render, "load_generator", lambda path, program=None: own_pictures.dots())
    fills = []
    make = backgrounds.make_background
    monkeypatch.setattr(
        backgrounds, "make_background", lambda *given: fills.append(given) or make(*given)
    )
    found, _ = own_pictures.bring(tmp_path, "alpha")
    path = motion(tmp_path / "m.json", NAMES[:3])
    arguments = ["animate", "--model", "m", "--image", str(found["image"]), "--motion", str(path)]
    arguments += ["--source-pose", str(found["pose"])]
    assert cli.main([*arguments, "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err == ""
    frames = [np.asarray(Image.open(p)) for p in sorted((tmp_path / "out").iterdir())]
    assert [frame.shape for frame in frames] == [(160, 120, 4)] * 3
    assert cli.main([*arguments, "--out", str(tmp_path / "a.gif"), "--json"]) == 0
    out, err = capsys.readouterr()
    said = ".gif files cannot be transparent: what is behind the person is magenta"
    assert err == f"volsynth: warning: {said}\n"
    assert json.loads(out)["warnings"] == [said]
    with Image.open(tmp_path / "a.gif") as image:
        found = image.convert("RGB").getpixel((0, 0))
        np.testing.assert_allclose(found, (255, 0, 255), atol=4)  # A palette has 256 colours.
    # Once for a clip.
    assert len(fills) == 2
    for options, message in (
        (["--out", "b.gif", "--background", "transparent"], "cannot be transparent; give --out a"),
        (
            ["--out", "b", "--background", "magenta", "--frame", "square"],
            "leave out --frame square",
        ),
        (["--out", "b", "--background", "mgenta"], "did you mean 'magenta'"),
    ):
        assert cli.main([*arguments, *options]) == 2
        assert message in capsys.readouterr().err


def test_the_bench_says_how_much_faster(monkeypatch):
    monkeypatch.setattr(render, "load_generator", lambda path, program=None: own_pictures.dots())
    monkeypatch.setitem(generation.GENERATORS, "none", None)
    counts = {"staged": [], "whole": []}

    def taking(name, seconds):
        def maker(model, who, square, batch):
            def make(bodies):
                counts[name].append(len(bodies))
                time.sleep(seconds)

            return make

        return maker

    monkeypatch.setattr(staged, "render_staged", taking("staged", 0.01))
    monkeypatch.setattr(render, "render_whole", taking("whole", 0.04))
    report = generation.bench(pathlib.Path("m"), 4, 3, lambda line: None)
    rates, faster = report["frames_per_second"], report["times_faster"]
    assert set(counts["staged"]) == {4}
    assert set(counts["whole"]) == {1, 4}
    assert 4 / 0.04 * 0.3 < rates["whole"] <= 4 / 0.04
    assert faster["whole"] == pytest.approx(rates["encoded_once"] / rates["whole"], abs=0.02)
    assert faster["whole"] < faster["whole_one_by_one"]
    with pytest.raises(UserError, match="--batch must be at least 1, got 0"):
        generation.bench(pathlib.Path("m"), 0, 1, lambda line: None)
    monkeypatch.delitem(generation.GENERATORS, "none")
    with pytest.raises(UserError, match="system 'none', which runs whole for every frame"):
        generation.bench(pathlib.Path("m"), 1, 1, lambda line: None)
    assert cli.main(["bench", "generate", "--model", "m", "--repeats", "0"]) == 2


def test_a_motion_of_one_pose_is_warned_of(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(render, "load_generator", lambda path, program=None: own_pictures.dots())
    found, _ = own_pictures.bring(tmp_path, "alpha")
    arguments = ["animate", "--model", "m", "--image", str(found["image"])]
    arguments += ["--source-pose", str(found["pose"]), "--out", str(tmp_path / "one")]
    path = motion(tmp_path / "one.json", NAMES[:1])
    assert cli.main([*arguments, "--motion", str(path)]) == 0
    assert "one.json has one pose: the clip is one frame" in capsys.readouterr().err
