"""The networks of scores of a set, and what the protocol says of them."""

import inspect
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from volsynth import metrics
from volsynth.errors import UserError
from volsynth.metrics import DISTRIBUTION_PROTOCOL, ClassState, FeatureState, set_features
from volsynth.pretrained import feature_networks, inception


@pytest.mark.slow
def test_built_in_outputs_are_those_of_the_deepest_layer():
    image = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (3, 16, 32, 3)), jnp.float32)
    got = metrics.builtin_outputs(image)
    layer = set_features.BUILTIN_LAYER
    deep = feature_networks.load_features("", ["block1_conv1", layer])(image)[layer]
    assert deep.shape == (3, 1, 2, 512)
    np.testing.assert_allclose(got["pool"], (deep[:, 0, 0] + deep[:, 0, 1]) / 2, rtol=1e-6)
    odds = np.exp(got["pool"])
    np.testing.assert_allclose(
        got["probabilities"], odds / odds.sum(1, keepdims=True), rtol=1e-5, atol=1e-9
    )
    with pytest.raises(UserError, match=rf"8x16 pixels is too small for {layer}"):
        metrics.builtin_outputs(image[:, :8, :16])


@pytest.mark.slow
def test_noise_is_farther_from_pictures_than_they_are_from_one_another():
    rng = np.random.default_rng(1)
    low = rng.uniform(-1, 1, (36, 2, 2, 3))
    pictures = np.repeat(np.repeat(low, 8, 1), 8, 2)
    noise = rng.uniform(-1, 1, (12, 16, 16, 3))
    pool = [
        np.asarray(metrics.builtin_outputs(jnp.asarray(x, jnp.float32))["pool"])
        for x in (pictures[:12], pictures[12:24], noise)
    ]
    first, second, other = (
        FeatureState.empty(pool[0].shape[1]).update(rows, np.ones(len(rows), bool)) for rows in pool
    )
    near, far = metrics.frechet(first, second), metrics.frechet(first, other)
    assert 0 < 2 * near < far


def test_the_protocol_is_json_and_says_what_the_code_does(monkeypatch):
    assert json.loads(json.dumps(DISTRIBUTION_PROTOCOL)) == DISTRIBUTION_PROTOCOL
    assert set(DISTRIBUTION_PROTOCOL) == {
        *("all", "fid", "inception_score"),
        *("frechet_builtin", "diversity_builtin"),
    }
    seen = {}
    resize = jax.image.resize

    def noted(image, shape, method, **options):
        seen.update(options, size=list(shape[1:3]), filter=method)
        return resize(image, shape, method, **options)

    monkeypatch.setattr(jax.image, "resize", noted)
    inception.resize(jnp.zeros((1, 4, 4, 3)))
    for name in ("fid", "inception_score"):
        assert {"align_corners": False, **seen} == DISTRIBUTION_PROTOCOL[name]["resize"]
    default = inspect.signature(ClassState.empty).parameters["splits"].default
    assert default == DISTRIBUTION_PROTOCOL["inception_score"]["splits"]
    for name in ("frechet_builtin", "diversity_builtin"):
        stated = DISTRIBUTION_PROTOCOL[name]
        assert stated["network"] == f"builtin-random-vgg19-{set_features.BUILTIN_LAYER}"
        assert "Inception" not in json.dumps(stated)
