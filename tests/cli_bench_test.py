"""`volsynth bench`: one JSON object, the shapes of the configs, and what must be there."""

import json

import pytest
from command_line import SMOKE, fails

from volsynth import cli


def test_bench_prints_one_json_object(capsys):
    smoke = "configs/volumetric.py:smoke"
    arguments = ["bench", "conv3d", "--config", smoke, "--no-torch", "--repeats", "1", "--json"]
    assert cli.main(arguments) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert [row["shape"][-1] for row in json.loads(out)["shapes"]] == [2, 2, 4]
    assert "ours: " in err


def test_convolutions_are_those_of_demo_and_full(capsys, monkeypatch):
    from volsynth.bench import conv3d

    monkeypatch.setattr(conv3d, "bench_conv3d", lambda shapes, *settings: {"shapes": shapes})
    assert cli.main(["bench", "conv3d", "--no-torch", "--json"]) == 0
    shapes = json.loads(capsys.readouterr().out)["shapes"]
    assert [tuple(shape[:4]) for shape in shapes] == [(8, 16, 16, 8)] * 3 + [(2, 64, 64, 24)] * 3


def test_bench_takes_at_least_one_turn(capsys):
    fails(capsys, "--repeats must be at least 1, got 0.", "bench", "step", "--repeats", "0")


def test_bench_of_the_warp_needs_poses(capsys, tmp_path):
    fails(capsys, "posed_people", "bench", "warp", "--no-torch", "--data-dir", str(tmp_path))


@pytest.mark.slow
def test_bench_of_the_input_reports_rates_and_the_share_of_waiting(capsys, data_dir):
    where = ["--data-dir", str(data_dir), "--repeats", "1", "--json"]
    assert cli.main(["bench", "input", "--config", SMOKE, *where]) == 0
    out, _ = capsys.readouterr()
    assert out.count("\n") == 1
    report = json.loads(out)
    (row,) = report["inputs"]
    assert (row["data"], row["image_size"], row["batch_size"]) == ("posed_people/tiny", 32, 2)
    assert row["images_per_second"] == row["images_per_second_by_threads"][str(row["threads"])]
    step = report["step"]
    assert 0 <= step["share_waiting"] < 1
    wanted = row["images_per_second"] / step["images_per_second_consumed"]
    assert step["pipeline_over_step"] == pytest.approx(wanted)


def test_bench_of_the_input_says_how_to_prepare_what_is_missing(capsys, data_dir, tmp_path):
    build = "python -m data_prep.posed_people --config {} --data-dir {}"
    fails(capsys, build.format("64", tmp_path), "bench", "input", "--data-dir", str(tmp_path))
    where = ("--data-dir", str(data_dir), "--config-name", "256")
    fails(capsys, build.format("256", data_dir), "bench", "input", *where)


def test_bench_of_the_input_that_cannot_be(capsys, data_dir):
    where = ("bench", "input", "--data-dir", str(data_dir))
    fails(capsys, "--repeats must be at least 1, got 0.", *where, "--repeats", "0")
    fails(capsys, "--config.seed=1: give --config, too.", *where, "--config.seed=1")
    size = ("--config", SMOKE, "--config.data.image_size=64", "--repeats", "1")
    fails(capsys, "has images of 32 pixels, config.data.image_size is 64", *where, *size)
