"""The plain form of reprojection gives what the operator gives, and the command reports on both."""

import importlib.util
import json

import pytest

from volsynth import cli


def _run(data_dir, *more):
    return cli.main(
        ["bench", "reprojection", "--data-dir", str(data_dir), "--config-name", "tiny", *more]
    )


def test_both_forms_make_the_same_picture(data_dir, capsys):
    assert _run(data_dir, "--size", "32", "--batch", "2", "--repeats", "1", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["pictures"] == [2, 32, 32]
    # Neighbouring capsules meet in lines, on which rounding decides for one or the other.
    assert report["share_of_pixels_that_differ"] < 0.01
    assert {"ours", "plain"} == set(report["temporary_bytes"]) == {*report["seconds"]} - {"torch"}
    ratio = report["seconds"]["plain"] / report["seconds"]["ours"]
    assert report["speedup_over_plain"] == pytest.approx(ratio)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
def test_pytorch_makes_the_same_picture(data_dir, capsys):
    assert _run(data_dir, "--size", "48", "--batch", "2", "--repeats", "1", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["share_that_differs_in_torch"] < 0.01
    ratio = report["seconds"]["torch"] / report["seconds"]["ours"]
    assert report["speedup_over_torch"] == pytest.approx(ratio)
    assert _run(data_dir, "--size", "16", "--repeats", "1", "--json", "--no-torch") == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["seconds"]) == {"ours", "plain"}
    assert "speedup_over_torch" not in report


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--size", "50"), "--size must be a multiple of 16, got 50"),
        (("--batch", "0"), "--batch must be at least 1, got 0"),
        (("--repeats", "0"), "--repeats must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_measured_is_one_line(data_dir, capsys, options, message):
    assert _run(data_dir, *options) == 2
    assert message in capsys.readouterr().err
