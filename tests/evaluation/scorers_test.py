"""Scorers: what a network or a program says of pictures, and of sets of them."""

import dataclasses
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volsynth import metrics, tasks
from volsynth.data import fake, pairing, pipeline
from volsynth.evaluation import compute_scores, scorers, set_scorers
from volsynth.fields import PAIR
from volsynth.ops import occlusion

IMAGE = tasks.TASKS["image"]


def _batch(count, valid, seed=0):
    batch = fake.batch(count, 32)
    rng = np.random.default_rng(seed)
    target = rng.uniform(-1, 1, batch["target_image"].shape).astype(np.float32)
    batch = {**batch, "target_image": target, "valid": np.array(valid)}
    return jax.tree.map(jnp.asarray, batch)


@dataclasses.dataclass(frozen=True)
class Distance:
    """A distance like `lpips_networks.Lpips`, with a single number as its weights."""

    name: str
    parameters: np.ndarray

    def __call__(self, a, b):
        return self.parameters * jnp.mean(jnp.abs(a - b), axis=(1, 2, 3))


def test_lpips_is_of_the_file_that_its_protocol_names(monkeypatch):
    loaded = Distance("lpips-vgg 0123456789ab", np.float32(3.0))
    monkeypatch.setattr(scorers.lpips_networks, "load", lambda path, network: loaded)
    tool = scorers.lpips("file", "vgg")
    batch = _batch(2, [True, False])
    value, counted = tool.measure(batch["target_image"] + 0.5, batch)["lpips_vgg"]
    np.testing.assert_allclose(value, 1.5, rtol=1e-6)
    np.testing.assert_array_equal(counted, [True, False])
    assert tool.protocol["lpips_vgg"]["weights"] == loaded.name


def _seen(images):
    """Outputs like Inception's: three features, and four classes that add up to 1."""
    pool = jnp.mean(images, axis=(1, 2))
    classes = jnp.abs(jnp.concatenate([pool, jnp.ones((len(pool), 1))], axis=1))
    return {"pool": pool, "probabilities": classes / jnp.sum(classes, axis=1, keepdims=True)}


class Inception:
    name = "inception-v3 0123456789ab"

    def __call__(self, images):
        return _seen(images)


def test_sets_are_those_of_all_valid_pictures_in_their_order(monkeypatch):
    monkeypatch.setattr(set_scorers.feature_networks, "load_inception", lambda path: Inception())
    tool = set_scorers.inception("file", 11)
    batches = [_batch(6, [True] * 6), _batch(6, [True] * 5 + [False], seed=1)]

    def make(batch):
        return jnp.asarray(0.5 * batch["target_image"] - 0.1)

    mean = batches[0]["target_image"][0]
    found = compute_scores.score_batches(IMAGE, make, batches, mean, scorers=[tool], total=11)
    true = np.concatenate([batches[0]["target_image"], batches[1]["target_image"][:5]])

    def features(images):
        empty = metrics.FeatureState.empty(3)
        return empty.update(_seen(images)["pool"], np.ones(len(images), bool))

    wanted = metrics.frechet(features(0.5 * true - 0.1), features(true))
    assert found.sets["generated"]["fid"] == pytest.approx(wanted, rel=1e-5)
    assert found.sets["truth"]["fid"] == pytest.approx(0, abs=1e-9)
    classes = _seen(0.5 * true - 0.1)["probabilities"]
    state = metrics.ClassState.empty(11, 4, 10)
    wanted, spread = state.update(classes, np.arange(11), np.ones(11, bool)).result()
    assert found.sets["generated"]["inception_score"] == pytest.approx(wanted, rel=1e-6)
    assert found.sets["generated"]["inception_score_std"] == pytest.approx(spread, rel=1e-5)
    assert tool.protocol["inception_score"]["splits"] == 10
    assert set_scorers.builtin_features(7).protocol["diversity_builtin"]["splits"] == 7
    assert found.means()["generated"]["fid"] == found.sets["generated"]["fid"]
    assert tool.protocol["fid"]["network_weights"] == Inception.name


def test_rows_are_scored_side_by_side_each_with_its_own_pictures_and_compiled_once():
    """A scorer that waits for a second row to be scored meanwhile, and fails where none comes."""
    meeting, traces = threading.Barrier(2), []

    @jax.jit
    def brightness(images):
        traces.append(images.shape)
        return jnp.mean(images, axis=(1, 2, 3))

    def measure(images, batch):
        # Rows of the first batch come one after the other.
        if len(seen) >= 4:
            meeting.wait(timeout=60)
        seen.append(float(images[0, 0, 0, 0]))
        return {"brightness": (brightness(images), batch["valid"])}

    seen = []
    tool = scorers.ImageScorer(("brightness",), {"brightness": {}}, measure)
    batches = [_batch(3, [True] * 3, seed) for seed in range(3)]
    mean = batches[0]["target_image"][0]
    found = compute_scores.score_batches(
        IMAGE, lambda batch: 0.5 * batch["target_image"], batches, mean, scorers=[tool]
    )
    assert len(traces) == 1
    target = np.concatenate([batch["target_image"] for batch in batches])
    for row, wanted in {"generated": 0.5 * target, "truth": target}.items():
        np.testing.assert_allclose(
            found.images[row]["brightness"].values, wanted.mean(axis=(1, 2, 3)), rtol=1e-4
        )


def test_published_ssim_only_where_the_window_fits():
    assert scorers.published_ssim(10) is None
    assert "ssim_gfla" not in scorers.published_ssim(50).scores
    tool = scorers.published_ssim(51)
    assert tool.scores == metrics.PUBLISHED_SSIM
    assert not tool.shown
    batch = {**_batch(2, [True, True]), "target_image": jnp.ones((2, 51, 51, 3))}
    images = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (2, 51, 51, 3)), jnp.float32)
    for name, (value, _) in tool.measure(images, batch).items():
        wanted = metrics.ssim_as(name, images, batch["target_image"])
        np.testing.assert_allclose(value, wanted, rtol=1e-5)


def test_an_estimator_sees_the_generated_picture_and_is_held_to_the_targets_pose():
    batch = _batch(2, [True, True])

    def estimate(given):
        # Off by the mean of the picture that it was given.
        shift = jnp.mean(given["target_image"], axis=(1, 2))[:, None]
        found = given["target_joints_mm"] + shift * jnp.arange(15)[None, :, None]
        return {"joints_mm": found, "joints_px": None}

    tool = scorers.pose_estimator(estimate, {"weights_sha256": "x"})
    images = jnp.full((2, 32, 32, 3), 10.0)
    scored = tool.measure(images, batch)
    wanted = metrics.mpjpe(
        estimate({**batch, "target_image": images})["joints_mm"],
        batch["target_joints_mm"],
        batch["target_visible"],
    )
    assert np.all(wanted > 10)
    np.testing.assert_allclose(scored["pose_mpjpe"][0], wanted, rtol=1e-5)
    entry = tool.protocol["pose_auc_150"]
    assert (entry["highest_mm"], entry["estimator"]) == (150.0, {"weights_sha256": "x"})


def test_the_occlusion_state_is_that_of_the_part_labels(tiny):
    split = tiny.split("test")
    pairs = pairing.evaluation_pairs(split, 0)[:8]
    (batch,) = pipeline.evaluation_batches(split, pairs, 8, (*PAIR, "target_parts"))
    batch = jax.tree.map(jnp.asarray, batch)
    value, counted = scorers.occlusion_state().measure(batch["target_image"], batch)[
        "occlusion_accuracy"
    ]
    assert np.any(counted)
    np.testing.assert_allclose(np.asarray(value)[np.asarray(counted)], 1.0)
    overlap = occlusion.overlapping_parts(
        *(batch[f"target_{key}"] for key in ("joints", "visible", "mask"))
    )
    wanted = metrics.occlusion_accuracy(
        batch["source_image"], batch["target_image"], batch["target_parts"], overlap
    )
    got = scorers.occlusion_state().measure(batch["source_image"], batch)
    np.testing.assert_allclose(got["occlusion_accuracy"][0], wanted, rtol=1e-6)
    assert np.mean(np.asarray(wanted)[np.asarray(counted)]) < 0.9
