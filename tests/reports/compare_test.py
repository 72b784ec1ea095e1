"""Runs side by side, from workdirs written by hand."""

import json

import numpy as np
import pytest
from PIL import Image

from volsynth import cli
from volsynth.errors import UserError
from volsynth.reports import compare, logged
from volsynth.reports.comparison_table import comparison_table

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
    assert found["protocols"]["a"]["images"] == "p"
    assert [run["protocol"] for run in found["runs"]] == ["a", "a"]
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
        (
            {"protocol": "other"},
            "scores by protocol b do not compare with those by a: different are images.",
        ),
        ({"data": "other"}, "not trained on the same data"),
        ({"scores": None}, "not evaluated on this split: b. See volsynth evaluate"),
    ],
)
def test_what_does_not_compare_is_said(tmp_path, settings, warning):
    found = compare.compare([_run(tmp_path / "a"), _run(tmp_path / "b", **settings)])
    assert len(found["warnings"]) == 1
    assert warning in found["warnings"][0]
    assert warning in comparison_table(found)


def _cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table(tmp_path):
    a = _run(tmp_path / "a", rows=_rows([10, 20], lambda s: s, lambda s: s * 1e4))
    b = _run(tmp_path / "b", {"precision": "float16"}, scores=None)
    lines = comparison_table(compare.compare([a, b])).splitlines()
    heads = ["steps", "ssim", "l1", "foreground l1", "silhouette iou", "g/loss", "skipped"]
    assert _cells(lines[0]) == ["", *heads, "loss scale"]
    numbers = ["20, scored 40", "0.800", "0.050", "0.300", "0.900", "20.00", "0", "1e+05 to 2e+05"]
    assert _cells(lines[2]) == ["precision float32", *numbers]
    assert _cells(lines[3]) == ["precision float16", "0", *"-----", "0", "-"]


def test_the_table_has_the_scores_that_the_runs_have(tmp_path):
    a = _run(tmp_path / "a", scores={"mpjpe": 80.0, "pck_150": 0.9})
    both = comparison_table(compare.compare([a, _run(tmp_path / "b", {"seed": 2})]))
    lines = both.splitlines()
    scores = ["mpjpe", "pck 150", "ssim", "l1", "foreground l1", "silhouette iou"]
    assert _cells(lines[0]) == ["", "steps", *scores, "skipped", "loss scale"]
    assert _cells(lines[2]) == ["seed 1", "0", "80.00", "0.900", *"----", "0", "-"]


def test_scores_of_two_protocols_are_told_apart_in_the_table(tmp_path):
    runs = [_run(tmp_path / "a"), _run(tmp_path / "b", {"seed": 2}, protocol="other")]
    lines = comparison_table(compare.compare(runs)).splitlines()
    place = _cells(lines[0]).index("protocol")
    assert [_cells(line)[place] for line in lines[2:4]] == ["a", "b"]
    assert sum(line.startswith(("a: Protocol", "b: Protocol")) for line in lines) == 2
    assert "different are images." in lines[-1]


def _images(folder, scores):
    lines = ["file,person,ssim,l1"]
    lines += [f"{i:06d}_x,{p},{s},{'' if i == 0 else s}" for i, (s, p) in enumerate(scores)]
    (folder / "evaluate-test" / "images.csv").write_text("\n".join(lines) + "\n")
    return compare.read(folder, "test")


def test_differences_are_of_the_same_pictures_with_an_interval(tmp_path):
    for name, seed in (("a", 1), ("b", 2)):
        _run(tmp_path / name, {"seed": seed})
    rng = np.random.default_rng(0)
    base = rng.normal(size=40)
    persons = [f"p{i // 4}" for i in range(40)]
    found = []
    for name, shift in (("a", 0.0), ("b", 0.25)):
        scores = base + shift + 0.01 * rng.normal(size=40)
        found.append(_images(tmp_path / name, list(zip(scores, persons))))
    comparison = compare.compare(found)
    assert comparison["runs"][0]["against_first"] == {}
    value, low, high = comparison["runs"][1]["against_first"]["ssim"]
    assert value == pytest.approx(0.25, abs=0.01)
    # Far narrower than the scores themselves, whose spread is shared.
    assert 0 < high - low < 0.02
    text = comparison_table(comparison)
    assert "difference from seed 1" in text
    assert f"{value:+.3f} [{low:+.3f}, {high:+.3f}]" in text


def test_a_score_that_is_no_number_has_no_difference(tmp_path):
    for name, seed in (("a", 1), ("b", 2)):
        _run(tmp_path / name, {"seed": seed})
    lines = [(0.5, f"p{i}") for i in range(6)]
    found = [_images(tmp_path / "a", lines), _images(tmp_path / "b", [*lines[:5], ("nan", "p5")])]
    comparison = compare.compare(found)
    assert "ssim" not in comparison["runs"][1]["against_first"]
    assert "NaN" not in json.dumps(comparison)


def test_results_in_folders_of_one_name_are_told_apart_by_the_folder_above(tmp_path):
    found = []
    for name in ("m1", "m2"):
        _run(tmp_path / name)
        found.append(compare.read(tmp_path / name / "evaluate-test", "test"))
    labels = [run["label"] for run in compare.compare(found)["runs"]]
    assert labels == ["m1/evaluate-test", "m2/evaluate-test"]


def test_the_step_that_was_scored_is_said_where_it_is_not_the_last(tmp_path):
    found = compare.compare([_run(tmp_path / "a", rows=_rows([10, 50]))])
    assert _cells(comparison_table(found).splitlines()[2])[1] == "50, scored 40"


def test_results_without_a_run_are_a_row_of_their_own(tmp_path):
    run = _run(tmp_path / "run")
    other = tmp_path / "theirs"
    other.mkdir()
    results = {"metrics": {"ssim": 0.7}, "protocol": {"images": "p"}, "step": None}
    (other / "results.json").write_text(json.dumps(results))
    found = compare.compare([run, compare.read(other, "test")])
    assert [row["label"] for row in found["runs"]] == ["run", "theirs"]
    assert found["runs"][1]["seed"] is None
    assert found["warnings"] == []
    nested = tmp_path / "nested"
    (nested / "evaluate-test").mkdir(parents=True)
    (nested / "evaluate-test" / "results.json").write_text(json.dumps(results))
    assert compare.read(nested, "test")["results"]["metrics"] == {"ssim": 0.7}
    (nested / "evaluate-test" / "images.csv").write_text("no,table\n1,2\n")
    with pytest.raises(UserError, match=r"images\.csv is damaged: no table of scores"):
        compare.read(nested, "test")


def test_losses_are_what_was_logged_whatever_players_and_terms_are_called(tmp_path):
    """No list of players or terms is needed: the engine's own figures are told by their names."""
    row = {"step": 10, "time": 1.0, "images_per_second": 5.0}
    for player, term in (("painter", "hue"), ("left/judge", "doubt")):
        row |= {f"{player}/loss": 3.0, f"{player}/{term}": 2.0, f"{player}/gradient_norm": 7.0}
        row |= {
            f"{player}/skipped": 1,
            f"{player}/skipped_in_a_row": 0,
            f"{player}/loss_scale": 8.0,
        }
    run = _run(tmp_path / "a", rows=[row])
    found = compare.compare([run])["runs"][0]
    assert found["losses"] == {
        "left/judge/loss": 3.0,
        "painter/loss": 3.0,
        "left/judge/doubt": 2.0,
        "painter/hue": 2.0,
    }
    assert (found["skipped"], found["loss_scale"]) == (2, [8.0, 8.0])
    heads = _cells(comparison_table(compare.compare([run])).splitlines()[0])
    assert heads[-6:-2] == ["left/judge/doubt", "left/judge/loss", "painter/hue", "painter/loss"]
    compare.draw([run], ["a"], tmp_path / "curves.png")
    assert logged.loss_keys([run["log"]])[:2] == ["left/judge/loss", "painter/loss"]


def test_networks_are_told_from_the_sections_that_every_config_has(tmp_path):
    """The sections of a system's networks may have any name; those of the engine stay."""
    configs = [
        {"system": "one", "painter": {"depth": 8}, "train": {"steps": 5}},
        {"system": "two", "painter": {"depth": 9}, "train": {"steps": 6}},
    ]
    runs = [_run(tmp_path / name, config) for name, config in zip("ab", configs)]
    assert compare.compare(runs)["runs"][0]["differs"] == {"system": "one", "train.steps": 5}


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
    (tmp_path / "a" / "evaluate-test" / "results.json").rmdir()
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
    lines = capsys.readouterr().out.splitlines()
    assert _cells(lines[3])[:3] == ["precision float16", "20, scored 40", "0.800"]
