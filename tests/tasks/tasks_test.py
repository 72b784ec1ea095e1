"""The scores and pictures of each task: rows, baselines, galleries."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from volsynth import systems, tasks
from volsynth.config import load_config
from volsynth.data import decoding, fake
from volsynth.evaluation import compute_scores, evaluate, record
from volsynth.ops import geometry
from volsynth.results import tables
from volsynth.results.protocol import Protocol
from volsynth.runs import training
from volsynth.skeleton import HIPS, INDEX, JOINTS
from volsynth.tasks import gallery, pose

POSE = tasks.TASKS["pose"]


def _batch(count=4, valid=None):
    valid = np.ones(count, bool) if valid is None else np.array(valid)
    return {**fake.batch(count, 32), "valid": valid}


def _means(*arguments):
    return compute_scores.score_batches(*arguments).means()


def _truth(batch):
    joints = batch["target_joints"]
    return {"joints_mm": batch["target_joints_mm"], "joints_px": joints[..., :2]}


def test_every_systems_task_is_known_and_its_scores_have_a_protocol():
    for spec in ("configs/volumetric.py:smoke", "configs/pose_estimator.py:smoke"):
        assert systems.make(load_config(spec)).task in tasks.TASKS
    for task in tasks.TASKS.values():
        assert {"all", *task.scores} <= set(task.protocol)
        assert json.loads(json.dumps(dict(task.baselines))) == dict(task.baselines)


def test_the_truth_gets_the_best_scores_and_the_mean_pose_its_distance():
    batches = [_batch(), _batch(valid=[True, False, False, False])]
    mean = np.mean(batches[0]["target_joints_mm"], axis=0)
    scored = _means(POSE, _truth, batches, mean)
    assert set(scored) == {"estimated", "mean_pose"}
    best = {"mpjpe": 0, "pa_mpjpe": 0, "pck_150": 1, "auc_150": 30 / 31, "auc_200": 40 / 41}
    for name, value in best.items():
        assert scored["estimated"][name] == pytest.approx(value, abs=2e-3)
    seen = np.concatenate([batches[0]["target_joints_mm"], batches[1]["target_joints_mm"][:1]])
    errors = np.linalg.norm(seen - geometry.from_pelvis(mean), axis=-1)
    assert scored["mean_pose"]["mpjpe"] == pytest.approx(errors.mean(), rel=1e-4)
    for j, name in enumerate(JOINTS):
        wanted = pytest.approx(errors[:, j].mean(), rel=1e-4)
        assert scored["mean_pose"][f"mpjpe_{name}"] == wanted
    scores = compute_scores.score_batches(POSE, _truth, batches, mean)
    protocol = Protocol({"split": "test"}, POSE.protocol)
    persons = ["a", "a", "b", "b", "c"]
    found = record.make_record(POSE, scores, persons, protocol, POSE.scores, step=3)
    assert set(found["metrics"]) == set(found["baselines"]["mean_pose"]) == set(best)
    assert set(found["details"]["estimated"]) == {f"mpjpe_{name}" for name in JOINTS}
    assert found["images"]["mpjpe"] == 5
    assert found["persons"] == 3
    low, high = found["intervals"]["mean_pose"]["mpjpe"]
    assert low < found["baselines"]["mean_pose"]["mpjpe"] < high


def test_joints_found_on_the_way_are_scored_along_each_axis():
    task = tasks.TASKS["image_and_pose"]
    batch = _batch(3, valid=[True, True, False])
    batch["source_visible"][0, 2:] = False
    rng = np.random.default_rng(0)
    off = rng.normal(size=(3, 15, 3)).astype(np.float32)
    made = {"image": batch["target_image"], "pose_joints": batch["source_joints"] + off}
    scored = _means(task, lambda _: made, [batch], batch["source_image"][0])
    wanted = (np.abs(off[0, :2]).mean(axis=0) + np.abs(off[1]).mean(axis=0)) / 2
    got = [scored["generated"][f"pose_{axis}"] for axis in "xyz"]
    np.testing.assert_allclose(got, wanted, rtol=1e-4)
    assert scored["generated"]["l1"] == 0
    centred = np.abs(batch["source_joints"] - 16)
    wanted = (centred[0, :2].mean(axis=0) + centred[1].mean(axis=0)) / 2
    for name in ("source_unchanged", "mean_training_image"):
        got = [scored[name][f"pose_{axis}"] for axis in "xyz"]
        np.testing.assert_allclose(got, wanted, rtol=1e-4)
    plain = _means(tasks.TASKS["image"], lambda _: made["image"], [batch], batch["source_image"][0])
    assert {k: scored["source_unchanged"][k] for k in plain["source_unchanged"]} == (
        plain["source_unchanged"]
    )
    assert len(gallery.gallery(task, lambda _: made, [batch]).getbands()) == 3


def test_a_pose_loss_makes_its_joints_part_of_the_scores():
    for weight, task in ((0.0, "image"), (1.0, "image_and_pose")):
        settings = load_config("configs/volumetric.py:smoke", [f"--config.loss.pose={weight}"])
        assert systems.make(settings).task == task


def test_an_image_or_a_joint_that_is_not_visible_counts_nowhere():
    batch = _batch(2)
    batch["target_visible"][0] = False
    batch["target_visible"][1, 4] = False
    made = {"joints_mm": np.array(batch["target_joints_mm"])}
    made["joints_mm"][0] += np.linspace(0, 900, 15, dtype=np.float32)[:, None]
    made["joints_mm"][1, 4] += 500
    scored = _means(POSE, lambda _: made, [batch], batch["target_joints_mm"][0])
    assert scored["estimated"]["mpjpe"] == pytest.approx(0, abs=1e-2)
    assert np.isnan(scored["estimated"]["mpjpe_right_elbow"])
    assert scored["estimated"]["mpjpe_left_knee"] == pytest.approx(0, abs=1e-2)


def test_without_a_hip_only_the_fitted_pose_is_scored():
    batch = _batch(2)
    batch["target_visible"][0, HIPS[0]] = False
    batch["target_joints_mm"][0] += 300
    made = {"joints_mm": np.array(batch["target_joints_mm"])}
    made["joints_mm"][0] *= 2
    made["joints_mm"][1, 4, 0] += 30
    scored = _means(POSE, lambda _: made, [batch], batch["target_joints_mm"][1])
    assert scored["estimated"]["mpjpe"] == pytest.approx(2, abs=1e-2)
    assert scored["estimated"]["mpjpe_right_elbow"] == pytest.approx(30, abs=1e-2)
    alone = {**batch, "valid": np.array([True, False])}
    scored = _means(POSE, lambda _: made, [alone], batch["target_joints_mm"][1])
    assert np.isnan(scored["estimated"]["mpjpe"])
    assert scored["estimated"]["pa_mpjpe"] == pytest.approx(0, abs=0.1)
    scores = compute_scores.score_batches(
        POSE, lambda _: made, [alone], batch["target_joints_mm"][1]
    )
    found = record.make_record(POSE, scores, ["a"], Protocol({}, POSE.protocol), POSE.scores)
    assert found["details"]["estimated"]["mpjpe_right_elbow"] is None
    assert found["intervals"]["estimated"]["pa_mpjpe"] is None, "one person says nothing of others"


def test_the_mean_training_pose(tiny):
    split = tiny.split("train")
    stored = decoding.read_fields(split, range(split.records), ("joints_mm",))
    wanted = np.mean(geometry.from_pelvis(stored["joints_mm"]), axis=0)
    got = pose.mean_training_pose(split, 1)
    np.testing.assert_allclose(got, wanted, atol=0.05)
    np.testing.assert_allclose(got[list(HIPS)].mean(axis=0), 0, atol=1e-3)
    few = pose.mean_training_pose(split, 4, limit=3)
    chosen = np.unique(np.linspace(0, split.records - 1, 3).astype(int))
    wanted = np.mean(geometry.from_pelvis(stored["joints_mm"][chosen]), axis=0)
    np.testing.assert_allclose(few, wanted, atol=0.05)


def test_from_the_side_the_far_is_right_and_the_right_is_near():
    joints = np.zeros((15, 3))
    joints[INDEX["head"]] = (0, -550, 0)
    joints[INDEX["right_wrist"]] = (275, 0, 550)
    side = pose.from_the_side(joints, 128)
    np.testing.assert_allclose(side[INDEX["neck"]][:2], [64, 64])
    np.testing.assert_allclose(side[INDEX["head"]][:2], [64, 32])
    np.testing.assert_allclose(side[INDEX["right_wrist"]][:2], [96, 64])
    # Who looks from the right has the picture's right side before him.
    assert side[INDEX["right_wrist"]][2] < side[INDEX["neck"]][2]


def test_a_row_of_the_gallery_has_both_skeletons_where_they_are():
    batch = _batch(1)
    batch["target_image"] = np.ones_like(batch["target_image"])
    made = _truth(batch)
    row = POSE.gallery_row(made, batch, 0, 64)
    assert len(row) == len(POSE.gallery_titles) == 5
    assert row[0].shape == (32, 32, 3)
    assert all(picture.shape == (64, 64, 3) for picture in row[1:])
    np.testing.assert_array_equal(row[1], row[2])
    np.testing.assert_array_equal(row[3], row[4])
    for picture in row[1:]:
        assert 0.01 < np.mean(np.any(picture != 255, axis=-1)) < 0.5
    # The picture's pixels are two by two, and so are the joints' places.
    moved = {**made, "joints_px": made["joints_px"] + 3.0}
    other = POSE.gallery_row(moved, batch, 0, 64)[2]
    np.testing.assert_array_equal(other[6:, 6:], row[2][:-6, :-6])
    deeper = {**made, "joints_mm": made["joints_mm"] + np.float32([0, 0, 2200 / 64 * 5])}
    other = POSE.gallery_row(deeper, batch, 0, 64)[4]
    np.testing.assert_array_equal(other[:, 5:], row[4][:, :-5])


def test_nothing_to_score():
    with pytest.raises(ValueError, match="nothing to evaluate: there are no batches"):
        compute_scores.score_batches(POSE, _truth, [], np.zeros((15, 3), np.float32))


@pytest.fixture(scope="module")
def trained(data_dir, tmp_path_factory):
    """A workdir in which the pose estimator's smoke config was trained."""
    workdir = tmp_path_factory.mktemp("runs") / "pose"
    overrides = [f"--config.data.dir={data_dir}", "--config.train.steps=3"]
    training.train(load_config("configs/pose_estimator.py:smoke", overrides), workdir)
    return workdir


def test_a_run_of_the_pose_estimator_is_scored_and_drawn(trained, tiny):
    found = evaluate.evaluate_run(trained, "test", options=evaluate.Options(gallery=6))
    folder = trained / "evaluate-test"
    assert json.loads((folder / "results.json").read_text()) == found
    assert found["protocol"]["images"] == tiny.manifest["splits"]["test"]["records"]
    assert found["protocol"]["scores"]["pck_150"]["threshold_mm"] == 150
    assert found["label"] == "estimated"
    assert set(found["baselines"]) == {"mean_pose"}
    for scores in tables.score_rows(found).values():
        assert list(scores) == list(pose.SCORES)
        assert np.all(np.isfinite(list(scores.values())))
    lines = (folder / "results.md").read_text().splitlines()
    assert lines[0].split() == ["|", "|", "estimated", "|", "mean", "pose", "|"]
    assert lines[2].startswith("| mpjpe ↓ ")
    for path in (folder / "gallery.png", trained / "samples" / "step_0000003.png"):
        with Image.open(path) as picture:
            assert picture.width > 10 * 128, "five pictures of each of two examples"


def test_facts_of_a_pair_are_its_turn_and_what_it_hides():
    batch = _batch(3)
    turned = np.array(batch["source_joints_mm"])
    # Half a turn, a quarter to either side, about the vertical axis.
    turned[0] *= (-1, 1, -1)
    turned[1] = turned[1][:, [2, 1, 0]] * (-1, 1, 1)
    batch["target_joints_mm"] = turned
    facts = tasks.TASKS["image"].facts(jax.tree.map(jnp.asarray, batch))
    np.testing.assert_allclose(facts["turn_degrees"], [180, 90, 0], atol=1e-2)
    assert np.all((facts["occluded_share"] >= 0) & (facts["occluded_share"] <= 1))
    empty = {**batch, "target_mask": np.zeros_like(batch["target_mask"])}
    facts = tasks.TASKS["image"].facts(jax.tree.map(jnp.asarray, empty))
    np.testing.assert_array_equal(facts["occluded_share"], 0)
