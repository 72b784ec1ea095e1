"""The detection score: one value per image, of 8 bits, through a detector computed by hand."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_detectors as tiny

from volsynth import metrics
from volsynth.pretrained import detectors


@pytest.fixture
def detector(tmp_path):
    """The greater of the means of R and B, as shares of 255."""
    return detectors.load(tiny.save(tmp_path / "m.onnx", tiny.ssd()), detectors.Options(15))


def _images(levels):
    levels = np.array(levels, np.float32)[:, None, None]
    return jnp.asarray(np.broadcast_to(levels / 127.5 - 1, (len(levels), 4, 4, 3)))


def test_one_value_per_image(detector):
    images = _images([[51, 255, 102], [0, 255, 0], [204, 0, 102]])
    got = metrics.detection_score(detector, images)
    np.testing.assert_allclose(got, [0.4, 0.0, 0.8], atol=1e-6)
    assert got.dtype == jnp.float32
    assert metrics.detection_score(detector, images[:0]).shape == (0,)


def test_detectors_see_eight_bits_and_nan_is_no_picture(detector):
    images = _images([[51.4, 0, 0], [300, 0, 0], [-20, 0, 0], [51, 0, 0], [51, 0, 0]])
    images = images.at[3, 0, 0, 1].set(jnp.nan)
    got = metrics.detection_score(detector, images)
    np.testing.assert_allclose(got, [0.2, 1.0, 0.0, np.nan, 0.2], atol=1e-6)
    got = metrics.detection_score(detector, images[:2].astype(jnp.bfloat16))
    np.testing.assert_allclose(got, [0.2, 1.0], atol=1e-2)


def test_the_protocol_names_the_detector(detector):
    entry = metrics.detection_protocol(detector)
    assert json.loads(json.dumps(entry)) == entry
    assert entry["network"] == detector.name
    assert entry["settings"]["person"] == 15
    general = metrics.IMAGE_PROTOCOL["detection_score"]
    assert {k: v for k, v in entry.items() if general.get(k) != v}.keys() == {"network", "settings"}


@pytest.mark.usefixtures("_unchecked")
def test_what_are_no_images(detector):
    with pytest.raises(ValueError, match=r"detection_score: images must have shape \[B, H, W, 3\]"):
        metrics.detection_score(detector, jnp.zeros((4, 4, 3)))
