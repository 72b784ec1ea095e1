"""A person in motion: frames per second, transparency, warnings, the command, and mistakes."""

import json
import pathlib
import time

import numpy as np
import own_pictures
import pytest
from PIL import Image

from volsynth import cli
from volsynth.bench import generation
from volsynth.errors import UserError
from volsynth.generation import animate, backgrounds, render, staged
from volsynth.generation.source import Source
from volsynth.images import reader
from volsynth.poses import pose_library


@pytest.fixture
def source(tmp_path):
    found, _ = own_pictures.bring(tmp_path)
    return Source(found["image"], found["mask"], found["pose"])


NAMES = ["standing", "walking", "walking", "waving", "walking", "sitting", "kicking"]


def test_a_named_motion_has_frames_per_second_of_its_own(tmp_path, source, monkeypatch):
    monkeypatch.setattr(render, "load_generator", lambda path, program=None: own_pictures.dots())
    monkeypatch.setattr(pose_library, "MOTION_FPS", 12.0)
    for fps, wanted in ((None, 12.0), (30.0, 30.0)):
        out = tmp_path / f"at{wanted:g}"
        made = animate.animate(pathlib.Path("m"), source, "walking", out, fps, "square")
        assert (made["fps"], made["frames"]) == (wanted, 28)


def test_a_clip_of_any_model(tmp_path, source, monkeypatch, capsys):
    monkeypatch.setattr(render, "load_generator", lambda path, program=None: own_pictures.dots())
    path = own_pictures.write_motion(tmp_path / "m.json", NAMES)
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
    path = own_pictures.write_motion(tmp_path / "m.json", NAMES[:3])
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
    monkeypatch.setattr(staged, "is_staged", lambda model: True)
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
    report = generation.bench_generation(pathlib.Path("m"), 4, 3, lambda line: None)
    rates, faster = report["frames_per_second"], report["times_faster"]
    assert set(counts["staged"]) == {4}
    assert set(counts["whole"]) == {1, 4}
    assert 4 / 0.04 * 0.3 < rates["whole"] <= 4 / 0.04
    assert faster["whole"] == pytest.approx(rates["encoded_once"] / rates["whole"], abs=0.02)
    assert faster["whole"] < faster["whole_one_by_one"]
    assert report["image_size"] == own_pictures.dots().image_size
    with pytest.raises(UserError, match=r"--size must be .* for this model, got 33"):
        generation.bench_generation(pathlib.Path("m"), 1, 1, lambda line: None, size=33)
    with pytest.raises(UserError, match="--batch must be at least 1, got 0"):
        generation.bench_generation(pathlib.Path("m"), 0, 1, lambda line: None)
    monkeypatch.setattr(staged, "is_staged", lambda model: False)
    with pytest.raises(UserError, match="system 'none', which runs whole for every frame"):
        generation.bench_generation(pathlib.Path("m"), 1, 1, lambda line: None)
    assert cli.main(["bench", "generate", "--model", "m", "--repeats", "0"]) == 2


def test_a_motion_of_one_pose_is_warned_of(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(render, "load_generator", lambda path, program=None: own_pictures.dots())
    found, _ = own_pictures.bring(tmp_path, "alpha")
    arguments = ["animate", "--model", "m", "--image", str(found["image"])]
    arguments += ["--source-pose", str(found["pose"]), "--out", str(tmp_path / "one")]
    path = own_pictures.write_motion(tmp_path / "one.json", NAMES[:1])
    assert cli.main([*arguments, "--motion", str(path)]) == 0
    assert "one.json has one pose: the clip is one frame" in capsys.readouterr().err
