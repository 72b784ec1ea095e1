"""Runs side by side, from workdirs written by hand."""

import json

import numpy as np
import pytest
from PIL import Image

from volsynth import cli, compare
from volsynth.errors import UserError

SCORES = {"ssim": 0.8, "l1": 0.05, "foreground_l1": 0.3, "silhouette_iou": 0.9}


def _run(folder, config=None, rows=(), scores=SCORES, data="d", protocol="p"):
    folder.mkdir()
    config = {"seed": 1, "precision": "float32", "data": {"dir": str(folder)}, **(config or {})}
    (folder / "run.json").write_text(json.dumps({"config": config, "data": data}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if scores:
        (folder / "evaluate-test").mkdir()
        results = {"metrics": scores, "protocol": {"images": protocol}, "step": 40}
        (folder / "evaluate-test" / "results.json").write_text(json.dumps(results))
    return compare.read(folder, "test")


def _rows(steps, loss=lambda step: 1.0, scale=lambda step: 2.0, skipped=0):
    keys = ("g/loss", "g/loss_scale", "g/skipped")
    values = (loss, scale, lambda step: skipped)
    return [{"step": s, **{k: f(s) for k, f in zip(keys, values)}} for s in steps]


def test_what_differs_names_the_runs(tmp_path):
    a = _run(tmp_path / "a", rows=_rows(range(10, 41, 10), lambda s: s / 100))
    b = _run(tmp_path / "b", {"precision": "float16", "seed": 2}, rows=_rows([10], skipped=3))
    found = compare.compare([a, b])
    assert [run["label"] for run in found["runs"]] == [
        "precision float32, seed 1",
        "precision float16, seed 2",
    ]
    first, second = found["runs"]
    assert first["differs"] == {"precision": "float32", "seed": 1}
    assert (first["steps"], second["steps"], second["skipped"]) == (40, 10, 3)
    assert first["losses"] == {"g/loss": 0.4}, "the last tenth of 40 steps is step 40"
    assert first["scores"] == SCORES
    assert first["scored_step"] == 40
    assert found["protocol"] == {"images": "p"}
    assert found["warnings"] == []


def test_runs_of_different_systems_are_named_by_it_and_not_by_their_networks(tmp_path):
    networks = ({"depth": 8}, {"blocks": 6}, {"blocks": 9})
    runs = [
        _run(tmp_path / name, {"system": name, "model": model, "discriminator": {"widths": [i]}})
        for i, (name, model) in enumerate(zip(("volumetric", "resnet2d", "other"), networks))
    ]
    labels = [run["label"] for run in compare.compare(runs)["runs"]]
    assert labels == ["system volumetric", "system resnet2d", "system other"]
    same = [_run(tmp_path / f"{d}", {"system": "v", "model": {"depth": d}}) for d in (8, 9)]
    assert [run["label"] for run in compare.compare(same)["runs"]] == ["depth 8", "depth 9"]


def test_runs_of_one_config_are_told_apart_by_their_folders(tmp_path):
    runs = [_run(tmp_path / name) for name in "ab"]
    assert [run["label"] for run in compare.compare(runs)["runs"]] == ["a", "b"]
    other = _run(tmp_path / "c", {"seed": 2})
    labels = [run["label"] for run in compare.compare([*runs, other])["runs"]]
    assert labels == ["a seed 1", "b seed 1", "c seed 2"]


def test_a_step_logged_twice_counts_once_and_nothing_logged_is_null(tmp_path):
    rows = [*_rows([10, 20, 30]), *_rows([20, 30], lambda s: 9.0), {"step": 40, "g/loss": None}]
    found = _run(tmp_path / "a", rows=rows)
    assert [row["step"] for row in found["log"]] == [10, 20, 30, 40]
    assert [row["g/loss"] for row in found["log"]] == [1.0, 9.0, 9.0, None]
    assert compare.compare([found])["runs"][0]["losses"] == {}


@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        ({"protocol": "other"}, "not made by the same protocol"),
        ({"data": "other"}, "not trained on the same data"),
        ({"scores": None}, "not evaluated on this split: b. See volsynth evaluate"),
    ],
)
def test_what_does_not_compare_is_said(tmp_path, settings, warning):
    found = compare.compare([_run(tmp_path / "a"), _run(tmp_path / "b", **settings)])
    assert len(found["warnings"]) == 1
    assert warning in found["warnings"][0]
    assert warning in compare.table(found)


def test_the_table(tmp_path):
    a = _run(tmp_path / "a", rows=_rows([10, 20], lambda s: s, lambda s: s * 1e4))
    b = _run(tmp_path / "b", {"precision": "float16"}, scores=None)
    lines = compare.table(compare.compare([a, b])).splitlines()
    head = (
        "|  | steps | ssim | l1 | foreground l1 | silhouette iou | g/loss | skipped | loss scale |"
    )
    assert lines[0] == head
    row = "| precision float32 | 20 | 0.800 | 0.050 | 0.300 | 0.900 | 20.000 | 0 | 1e+05 to 2e+05 |"
    assert lines[2] == row
    assert lines[3] == "| precision float16 | 0 | - | - | - | - | - | 0 | - |"


def test_the_table_has_the_scores_that_the_runs_have(tmp_path):
    a = _run(tmp_path / "a", scores={"mpjpe": 80.0, "pck_150": 0.9})
    both = compare.table(compare.compare([a, _run(tmp_path / "b", {"seed": 2})]))
    lines = both.splitlines()
    scores = "mpjpe | pck 150 | ssim | l1 | foreground l1 | silhouette iou"
    assert lines[0] == f"|  | steps | {scores} | skipped | loss scale |"
    assert lines[2] == "| seed 1 | 0 | 80.000 | 0.900 | - | - | - | - | 0 | - |"


def test_curves_are_where_the_values_are(tmp_path):
    """Two constant curves: their colours are in the picture, the higher value higher up."""
    steps = range(0, 1000, 10)
    runs = [_run(tmp_path / n, rows=_rows(steps, lambda s, v=v: v)) for n, v in zip("ab", (9, 1))]
    compare.draw(runs, ["a", "b"], tmp_path / "new" / "curves.png")
    with Image.open(tmp_path / "new" / "curves.png") as drawn:
        picture = np.asarray(drawn.convert("RGB")).astype(int)
    left = picture[:, : picture.shape[1] // 2]
    heights = []
    for sign in (-1, 1):  # Blue, then orange.
        rows = np.flatnonzero((sign * (left[..., 0] - left[..., 2]) > 60).sum(axis=1) > 100)
        assert len(rows)
        heights.append(rows.mean())
    assert heights[0] < heights[1]


def test_what_cannot_be_compared_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        compare.read(tmp_path, "test")
    run = _run(tmp_path / "a")
    with pytest.raises(UserError, match="no curves to draw"):
        compare.draw([run], ["a"], tmp_path / "curves.png")
    run = _run(tmp_path / "b", rows=_rows([1, 2]))
    for name in ("run.json/curves.png", "curves.nothing"):
        with pytest.raises(UserError, match="cannot write the curves"):
            compare.draw([run], ["a"], tmp_path / "b" / name)


@pytest.mark.parametrize(
    "text",
    [
        *("{", "null", "[]", "{}", '{"metrics": {}, "step": 1, "protocol": {}}'),
        '{"metrics": {"l1": 1}, "protocol": {}}',
        '{"metrics": {"l1": 1}, "step": 1}',
        '{"metrics": {"l1": "1"}, "step": 1, "protocol": {}}',
        '{"metrics": {"l1": 1}, "baselines": [], "step": 1, "protocol": {}}',
    ],
)
def test_results_that_are_damaged_are_one_clear_line(tmp_path, text):
    _run(tmp_path / "a")
    (tmp_path / "a" / "evaluate-test" / "results.json").write_text(text)
    with pytest.raises(UserError, match=r"results\.json is damaged: it has no scores\. Evaluate"):
        compare.read(tmp_path / "a", "test")


def test_files_that_cannot_be_read_are_one_clear_line(tmp_path):
    _run(tmp_path / "a", scores=None)
    (tmp_path / "a" / "evaluate-test" / "results.json").mkdir(parents=True)
    with pytest.raises(UserError, match=r"results\.json cannot be read: Is a directory"):
        compare.read(tmp_path / "a", "test")
    (tmp_path / "a" / "metrics.jsonl").unlink()
    (tmp_path / "a" / "metrics.jsonl").mkdir()
    with pytest.raises(UserError, match="a: metrics cannot be read: Is a directory"):
        compare.read(tmp_path / "a", "test")


def test_damaged_lines_are_left_out_and_said(tmp_path):
    _run(tmp_path / "a", rows=_rows([10, 20]))
    with (tmp_path / "a" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 30, "g/lo')
    found = compare.compare([compare.read(tmp_path / "a", "test")])
    assert found["runs"][0]["steps"] == 20
    assert found["warnings"] == ["a: 1 damaged lines of metrics left out."]


def test_the_command_prints_and_draws(tmp_path, capsys):
    for name, precision in zip("ab", ("float32", "float16")):
        _run(tmp_path / name, {"precision": precision}, rows=_rows([10, 20]))
    folders = [str(tmp_path / name) for name in "ab"]
    picture = tmp_path / "curves.png"
    assert cli.main(["compare", *folders, "--curves", str(picture), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [run["differs"]["precision"] for run in printed["runs"]] == ["float32", "float16"]
    with Image.open(picture) as drawn:
        assert drawn.size[0] > 500
    assert cli.main(["compare", *folders]) == 0
    assert "| precision float16 | 20 | 0.800" in capsys.readouterr().out
