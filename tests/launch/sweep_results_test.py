"""Gathering scored workdirs in one file, and making the tables and plots of a page from it."""

import json
import re

import numpy as np
import pytest
from PIL import Image

import launch.__main__ as launch
from launch.sweeps import pages, results, spec, state
from volsynth import tasks
from volsynth.config import config_to_dict, load_config
from volsynth.errors import UserError
from volsynth.results.protocol import Protocol

TABLE = """
title: Two and three
config: configs/volumetric.py:smoke
variants:
  deep: {}
  flat: {config: "configs/volumetric.py:smoke,both_2d"}
seeds: [0, 1]
scores: [ssim, l1]
published: {of: thesis, deep: {ssim: 0.9}}
"""

PROTOCOL = Protocol(
    {"images": 40, "data": "people/32 1.0.0", "split": "test"},
    {"all": {}, "ssim": {"better": "higher"}, "l1": {"better": "lower"}},
)


def _score(root, run, values, protocol=PROTOCOL):
    """A workdir as training and evaluation leave it, with a score of every picture."""
    folder = root / run.name / "evaluate-test"
    folder.mkdir(parents=True)
    values_of = config_to_dict(load_config(run.config, run.overrides))
    record = {"config": values_of, "data": "d", "notes": {}}
    (root / run.name / "run.json").write_text(json.dumps(record))
    start = {"step": 0, "commit": "abc1234", "jax": "1", "device": "cpu"}
    (root / run.name / "starts.jsonl").write_text(json.dumps(start) + "\n")
    metrics = {"ssim": float(np.mean(values)), "l1": 0.5}
    written = {
        "label": "generated",
        "metrics": metrics,
        "baselines": {"source_unchanged": {"ssim": 0.1, "l1": 0.9}},
        "protocol": protocol.to_json(),
        "step": 6,
    }
    (folder / "results.json").write_text(json.dumps(written))
    lines = ["file,person,turn_degrees,ssim,l1"]
    lines += [f"{i:03d},p{i // 4},{i},{v},{0.5 if i == 9 else ''}" for i, v in enumerate(values)]
    (folder / "images.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture
def _no_networks(monkeypatch):
    """Networks are counted in one test only; it takes seconds."""
    counts = {"params": 7, "operations": 3e6, "operations_as_printed": 0}
    monkeypatch.setattr(results, "_size", lambda run: counts)


@pytest.fixture
def scored(tmp_path):
    """A table, and the workdirs of its runs: `flat` is below `deep`, in the last third twice."""
    path = tmp_path / "two.yaml"
    path.write_text(TABLE)
    base = np.random.default_rng(0).uniform(0.4, 0.9, 40)
    # The last third is twice as far below.
    below = np.where(np.arange(40) > 26, 0.3, 0.15)
    for run in spec.read_runs(path):
        shift = -below if run.group == "flat" else 0.0
        _score(tmp_path / "runs", run, base + shift + 0.01 * run.seed)
    return path, tmp_path / "runs", base


def test_groups_are_means_over_seeds_with_paired_differences(scored):
    path, root, base = scored
    found = results.gather(spec.read_runs(path), root, spec.read_presentation(path))
    assert json.loads(json.dumps(found)) == found
    assert [run["name"] for run in found["runs"]] == [
        "deep_seed-0",
        "deep_seed-1",
        "flat_seed-0",
        "flat_seed-1",
    ]
    assert found["runs"][3]["config"] == "configs/volumetric.py:smoke,both_2d"
    assert (found["runs"][3]["seed"], found["runs"][3]["commits"]) == (1, ["abc1234"])
    assert found["runs"][3]["values"]["model"]["transform"] == "2d"
    deep, flat = found["groups"]["deep"]["scores"], found["groups"]["flat"]["scores"]
    assert deep["ssim"]["mean"] == pytest.approx(base.mean() + 0.005)
    np.testing.assert_allclose(deep["ssim"]["seeds"], [base.mean(), base.mean() + 0.01])
    assert deep["ssim"]["interval"][0] < deep["ssim"]["mean"] < deep["ssim"]["interval"][1]
    assert "difference" not in deep["ssim"]
    assert flat["ssim"]["difference"] == pytest.approx(-(27 * 0.15 + 13 * 0.3) / 40)
    low, high = flat["ssim"]["difference_interval"]
    assert -0.25 < low < flat["ssim"]["difference"] < high < -0.15
    thirds = found["by"]["turn_degrees"]
    assert list(found["by"]) == ["turn_degrees"]
    np.testing.assert_allclose(thirds["edges"], [13, 26])
    values = np.array(thirds["groups"]["flat"]["ssim"])
    np.testing.assert_allclose(values[:, 0], [-0.15, -0.15, -0.3], atol=0.012)
    assert flat["l1"]["mean"] == 0.5, "of the one picture that has it"
    assert found["groups"]["deep"]["params"] > 1000
    assert found["shown"] == ["ssim", "l1"]


@pytest.mark.usefixtures("_no_networks")
def test_a_run_that_was_not_scored_is_left_out(scored):
    path, root, _ = scored
    (root / "flat_seed-1" / "evaluate-test" / "results.json").unlink()
    (root / "deep_seed-0" / "evaluate-test" / "images.csv").unlink()
    found = results.gather(spec.read_runs(path), root, spec.read_presentation(path))
    assert {group: one["seeds"] for group, one in found["groups"].items()} == {
        "deep": [1],
        "flat": [0],
    }
    flat = found["groups"]["flat"]["scores"]["ssim"]
    assert "difference" not in flat, "other seeds are not subtracted from one another"
    rows = pages.tables(found).splitlines()
    assert rows[0].split("|")[2:4] == [" steps ", " seeds "]
    (root / "deep_seed-1" / "run.json").unlink()
    with pytest.raises(UserError, match="no run of deep, with which the others are compared"):
        results.gather(spec.read_runs(path), root, spec.read_presentation(path))
    with pytest.raises(UserError, match=r"no run in .* was scored yet"):
        results.gather(spec.read_runs(path), root / "none", spec.read_presentation(path))


@pytest.mark.usefixtures("_no_networks")
def test_runs_of_two_protocols_are_not_gathered(scored):
    table, root, _ = scored
    other = Protocol({**PROTOCOL.shared, "split": "train"}, PROTOCOL.scores)
    path = root / "flat_seed-0" / "evaluate-test" / "results.json"
    changed = {**json.loads(path.read_text()), "protocol": other.to_json()}
    path.write_text(json.dumps(changed))
    message = "flat_seed-0 was not scored as the runs before it; different are split"
    with pytest.raises(UserError, match=message):
        results.gather(spec.read_runs(table), root, spec.read_presentation(table))


def test_a_run_of_another_config_is_not_gathered(scored):
    path, root, _ = scored
    record = json.loads((root / "flat_seed-0" / "run.json").read_text())
    record["config"]["model"]["depth"] = 9
    (root / "flat_seed-0" / "run.json").write_text(json.dumps(record))
    message = r"flat_seed-0 is a run of another config than the table's \(model.depth: 9 there"
    with pytest.raises(UserError, match=message):
        results.gather(spec.read_runs(path), root, spec.read_presentation(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scores: [ssmi]", "scores of the table: unknown 'ssmi'; did you mean 'ssim'"),
        ("published: {depe: {}}", "published of the table: unknown 'depe'; did you mean 'deep'"),
    ],
)
def test_names_that_there_are_not(scored, text, message):
    path, root, _ = scored
    lines = [line for line in TABLE.splitlines() if line.split(":")[0] != text.split(":")[0]]
    path.write_text("\n".join([*lines, text]))
    with pytest.raises(UserError, match=message):
        results.gather(spec.read_runs(path), root, spec.read_presentation(path))


@pytest.mark.usefixtures("_no_networks")
def test_a_score_that_is_no_number_is_null_and_no_interval(scored):
    path, root, _ = scored
    images = root / "flat_seed-0" / "evaluate-test" / "images.csv"
    lines = images.read_text().splitlines()
    cells = lines[5].split(",")
    lines[5] = ",".join([*cells[:3], "nan", *cells[4:]])
    images.write_text("\n".join(lines) + "\n")
    found = results.gather(spec.read_runs(path), root, spec.read_presentation(path))
    flat = found["groups"]["flat"]["scores"]["ssim"]
    assert (flat["mean"], flat["interval"], flat["difference"]) == (None, None, None)
    assert flat["seeds"][0] is None
    assert flat["seeds"][1] is not None
    assert "NaN" not in json.dumps(found)
    assert "| flat " in pages.tables(found)


@pytest.mark.usefixtures("_no_networks")
def test_runs_on_other_pictures_are_not_gathered(scored):
    path, root, _ = scored
    images = root / "flat_seed-0" / "evaluate-test" / "images.csv"
    images.write_text("\n".join(images.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(UserError, match=r"different are pictures\. Score it again: remove "):
        results.gather(spec.read_runs(path), root, spec.read_presentation(path))


def test_runs_with_a_pose_head_are_gathered_with_those_without():
    """Their protocols differ in what only one of them has."""
    image, both = (tasks.TASKS[name] for name in ("image", "image_and_pose"))
    plain, posed = (Protocol(dict(task.baselines), dict(task.protocol)) for task in (image, both))
    assert plain.differences(posed) == []


@pytest.mark.usefixtures("_no_networks")
def test_a_page_is_filled_between_its_marks_by_one_command(scored, tmp_path, capsys):
    path, root, base = scored
    out = tmp_path / "results" / "two.json"
    out.parent.mkdir()
    # With --status nothing is trained: these workdirs have no checkpoint.
    arguments = ["sweep", str(path), "--root", str(root), "--status", "--gather", str(out)]
    assert launch.main(arguments) == 0
    page = tmp_path / "page.md"
    page.write_text("# Before\n<!-- results: two -->\nold\n<!-- end -->\nafter\n")
    command = ["tables", "--results", str(out.parent), "--page", str(page)]
    assert launch.main(command) == 0
    text = page.read_text()
    assert text.startswith("# Before\n<!-- results: two -->\n")
    assert text.endswith("<!-- end -->\nafter\n")
    assert "old" not in text
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines()]
    heads = ["", "parameters", "MMAC", "ssim ↑", "l1 ↓", "thesis: ssim"]
    assert heads in rows
    (deep,) = (row for row in rows if row[0] == "deep")
    assert re.fullmatch(rf"{base.mean() + 0.005:.3f} ±0\.\d+", deep[3])
    assert deep[-1] == "0.900"
    assert next(row[:3] for row in rows if row[0] == "flat" and row[1].startswith("-0.150 [")) == [
        "flat",
        "-0.150 [-0.150, -0.150]",
        "-0.150 [-0.150, -0.150]",
    ]
    assert "seeds 0, 1; 6 steps; commit abc1234; 40 pictures, people/32 1.0.0, test" in text
    with Image.open(tmp_path / "images" / "two.png") as picture:
        assert min(picture.size) > 100
    assert str(page) in capsys.readouterr().out
    assert launch.main(command) == 0
    assert page.read_text() == text, "filled again it is the same"
    page.write_text(text + "<!-- results: three -->\nkept\n<!-- end -->\n")
    assert launch.main(command) == 0
    assert "three.json is not there: its table was left as it is" in capsys.readouterr().err
    assert "kept" in page.read_text()


@pytest.mark.parametrize(
    ("text", "results", "message"),
    [
        (None, "{}", "cannot read the page"),
        ("no mark", "{}", "has no mark `<!-- results: NAME -->`"),
        ("<!-- results: x -->\n<!-- end -->", "{", "x.json is damaged: it is no JSON"),
        ("<!-- results: x -->\n<!-- end -->", "[]", "x.json has no gathered results"),
        (
            "<!-- results: x -->\n<!-- end -->",
            '{"groups": {}, "shown": [], "protocol": {}}',
            "x.json has no gathered results",
        ),
    ],
)
def test_pages_and_results_that_cannot_be_used(tmp_path, text, results, message):
    if text is not None:
        (tmp_path / "page.md").write_text(text)
    if results is not None:
        (tmp_path / "x.json").write_text(results)
    with pytest.raises(UserError, match=message):
        pages.write(tmp_path, tmp_path / "page.md")


def test_scores_that_are_no_list_and_an_estimator_for_nothing(tmp_path, capsys):
    path = tmp_path / "t.yaml"
    path.write_text("config: configs/volumetric.py:smoke\nscores: ssim\n")
    with pytest.raises(UserError, match="scores is a list of names, got 'ssim'"):
        spec.read_presentation(path)
    assert launch.main(["sweep", str(path), "--estimator", "x"]) == 2
    assert "--estimator is for --evaluate; give both" in capsys.readouterr().err
    assert launch.main(["sweep", str(path), "--evaluate", "--estimator", "x", "--dry-run"]) == 0
    assert capsys.readouterr().out.count("--estimator x") == 1


def test_what_was_scored_with_more_is_not_scored_again(tmp_path):
    folder = tmp_path / "evaluate-test"
    folder.mkdir()
    assert not state.is_scored(tmp_path, 6)
    (folder / "results.json").write_text(json.dumps({"step": 6, "estimator": "runs/x"}))
    assert not state.is_scored(tmp_path, 6), "without the scores of every picture"
    (folder / "images.csv").write_text("")
    assert state.is_scored(tmp_path, 6)
    assert state.is_scored(tmp_path, 6, "runs/x")
    assert not state.is_scored(tmp_path, 6, "runs/y")
    assert not state.is_scored(tmp_path, 7)
