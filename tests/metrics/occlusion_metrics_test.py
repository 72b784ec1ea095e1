"""The part that a picture shows in front: planted pictures, a loop over pixels, real pictures."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from volsynth import metrics, skeleton
from volsynth.data import pairing, pipeline
from volsynth.fields import PAIR
from volsynth.metrics import occlusion_states
from volsynth.ops import occlusion

TORSO, ARM, LEG = (
    skeleton.PART_NAMES.index(name) for name in ("torso", "right_lower_arm", "left_upper_leg")
)
RED, SKIN, GREEN, MAGENTA = [0.8, -0.8, -0.8], [0.7, 0.4, 0.2], [-0.9, 0.5, -0.9], [1, -1, 1]

ACCURACY = jax.jit(metrics.occlusion_accuracy)
DECIDABLE = jax.jit(metrics.occlusion_decidable)


@pytest.fixture(autouse=True)
def _strict():
    """Scores must also work for callers who forbid implicit promotion."""
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield


def _planted(colours=(RED, SKIN)):
    """A red torso with an arm of skin across it: true image, labels, overlap; one picture."""
    labels = np.zeros((1, 12, 12), np.uint8)
    labels[:, 1:11, 2:10] = TORSO + 1
    labels[:, 4:7, 2:12] = ARM + 1
    image = np.broadcast_to(np.array(MAGENTA, np.float32), (1, 12, 12, 3)).copy()
    for part, colour in zip((TORSO, ARM), colours):
        image[labels == part + 1] = colour
    overlap = np.zeros((1, skeleton.NUM_PARTS, 12, 12), bool)
    overlap[:, [TORSO, ARM], 4:7, 2:10] = True
    return image, labels, overlap


def _arrays(*values):
    return [jnp.asarray(value) for value in values]


# --- planted pictures ----------------------------------------------------------------------------


def test_the_truth_is_right_and_the_order_exchanged_is_wrong():
    image, labels, overlap = _planted()
    behind = image.copy()
    behind[:, 4:7, 2:10] = RED
    half = image.copy()
    half[:, 4:7, 2:6] = RED
    rest = _arrays(image, labels, overlap)
    for picture, want in ((image, 1.0), (behind, 0.0), (half, 0.5)):
        assert ACCURACY(jnp.asarray(picture), *rest).tolist() == [want]
    np.testing.assert_array_equal(DECIDABLE(*rest), overlap[:, ARM])


def test_what_lies_outside_of_the_overlap_does_not_count():
    image, labels, overlap = _planted()
    other = np.where(overlap[:, ARM, ..., None], image, np.nan)
    assert ACCURACY(*_arrays(other, image, labels, overlap)).tolist() == [1.0]
    assert ACCURACY(*_arrays(np.full_like(image, np.nan), image, labels, overlap)).tolist() == [0.0]


def test_parts_of_one_colour_cannot_be_told_apart():
    almost = [level - 0.05 for level in RED]
    image, labels, overlap = _planted((RED, almost))
    rest = _arrays(image, labels, overlap)
    assert not DECIDABLE(*rest).any()
    assert ACCURACY(jnp.asarray(image), *rest).tolist() == [0.0]
    np.testing.assert_array_equal(metrics.has_pixels(DECIDABLE(*rest)), [False])


def test_a_pattern_that_the_truth_itself_is_mistaken_about_does_not_count():
    image, labels, overlap = _planted()
    image[:, 4, 2:10] = RED
    decidable = np.asarray(DECIDABLE(*_arrays(image, labels, overlap)))
    assert not decidable[:, 4].any()
    assert decidable[:, 5:7, 2:10].all()
    assert ACCURACY(*_arrays(image, image, labels, overlap)).tolist() == [1.0]


def test_a_pixel_whose_part_is_not_of_the_overlap_or_is_background_does_not_count():
    image, labels, overlap = _planted()
    overlap[:, ARM, 5] = False
    overlap[:, LEG, 5, 2:10] = True
    labels[:, 6] = 0
    decidable = np.asarray(DECIDABLE(*_arrays(image, labels, overlap)))
    assert decidable[:, 4, 2:10].all()
    assert not decidable[:, 5:].any()


@pytest.mark.parametrize(("count", "known"), [(4, False), (5, True)])
def test_a_part_of_few_pixels_has_no_colour(count, known):
    image, labels, overlap = _planted()
    labels[labels == TORSO + 1] = 0
    labels[0, 9, 2 : 2 + count] = TORSO + 1
    assert DECIDABLE(*_arrays(image, labels, overlap)).any() == known


def test_a_part_that_is_not_seen_is_no_rival():
    image, labels, overlap = _planted()
    overlap[:, TORSO] = False
    overlap[:, LEG, 4:7, 2:10] = True
    assert not DECIDABLE(*_arrays(image, labels, overlap)).any()


# --- against a loop ------------------------------------------------------------------------------


def _slow(generated, target, labels, overlap):
    right, seen = 0, np.zeros(labels.shape, bool)
    colours = {
        part: target[labels == part + 1].mean(axis=0)
        for part in range(skeleton.NUM_PARTS)
        if np.sum(labels == part + 1) >= 5
    }
    for y, x in np.ndindex(labels.shape):
        parts = [part for part in np.nonzero(overlap[:, y, x])[0] if part in colours]
        own = int(labels[y, x]) - 1
        if own not in parts:
            continue
        true = {part: np.linalg.norm(target[y, x] - colours[part]) for part in parts}
        rivals = [part for part in parts if true[part] - true[own] > 0.3]
        if rivals:
            seen[y, x] = True
            made = {part: np.linalg.norm(generated[y, x] - colours[part]) for part in parts}
            right += made[own] < min(made[part] for part in rivals)
    return right / max(seen.sum(), 1), seen


def test_equals_a_loop_over_pixels():
    rng = np.random.default_rng(0)
    shape = (2, 16, 17)
    labels = rng.integers(0, skeleton.NUM_PARTS + 1, shape).astype(np.uint8)
    palette = rng.uniform(-1, 1, (skeleton.NUM_PARTS + 1, 3))
    target = (palette[labels] + rng.normal(0, 0.3, (*shape, 3))).astype(np.float32)
    generated = (palette[labels] + rng.normal(0, 0.8, (*shape, 3))).astype(np.float32)
    overlap = rng.uniform(size=(2, skeleton.NUM_PARTS, *shape[1:])) < 0.4
    args = _arrays(generated, target, labels, overlap)
    got, seen = ACCURACY(*args), np.asarray(DECIDABLE(*args[1:]))
    for i in range(2):
        want, pixels = _slow(generated[i], target[i], labels[i], overlap[i])
        np.testing.assert_allclose(got[i], want, rtol=1e-6)
        np.testing.assert_array_equal(seen[i], pixels)
        assert 0.4 < want < 0.95


# --- real pictures -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def people(tiny):
    """Pictures of `posed_people`, their labels, and where parts overlap."""
    split = tiny.split("train")
    pairs = pairing.evaluation_pairs(split, 0)[:24]
    (batch,) = pipeline.evaluation_batches(split, pairs, 24, (*PAIR, "target_parts"))
    overlap = jax.jit(occlusion.overlapping_parts)(
        batch["target_joints"], batch["target_visible"], batch["target_mask"]
    )
    return batch["target_image"], batch["source_image"], batch["target_parts"], np.asarray(overlap)


def test_real_pictures_keep_their_order_when_blurred_and_lose_it_when_exchanged(people):
    image, source, labels, overlap = people
    rest = _arrays(image, labels, overlap)
    pixels = np.asarray(DECIDABLE(*rest))
    valid = np.asarray(metrics.has_pixels(jnp.asarray(pixels)))
    assert valid.mean() > 0.5
    assert 0.1 < pixels.sum() / overlap.any(axis=1).sum() < 0.9

    def score(picture):
        return float(np.asarray(ACCURACY(jnp.asarray(picture), *rest))[valid].mean())

    assert score(image) == 1.0
    assert score(ndimage.gaussian_filter(image, (0, 0.5, 0.5, 0))) > 0.9
    assert 0.2 < score(source) < 0.8
    # The colour of the one other part at each pixel, as if it lay in front.
    exchanged = image.copy()
    for i, y, x in zip(*np.nonzero(pixels)):
        own = labels[i, y, x] - 1
        colours = [
            image[i][labels[i] == part + 1].mean(axis=0)
            for part in np.nonzero(overlap[i, :, y, x])[0]
            if part != own and np.any(labels[i] == part + 1)
        ]
        exchanged[i, y, x] = max(colours, key=lambda c: np.linalg.norm(c - image[i, y, x]))
    assert score(exchanged) < 0.1


# --- the protocol and mistakes -------------------------------------------------------------------


def test_the_protocol_is_plain_json_with_the_constants_in_use():
    entry = metrics.IMAGE_PROTOCOL["occlusion_accuracy"]
    assert json.loads(json.dumps(entry)) == entry
    assert entry["margin"] == occlusion_states.COLOUR_MARGIN == 0.3
    assert entry["least_pixels"] == occlusion_states.LEAST_PIXELS == 5
    assert entry["half_width"] == occlusion.WIDTH


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize("score", ["occlusion_accuracy", "occlusion_decidable"])
def test_wrong_shapes(score):
    image, labels, overlap = _arrays(*_planted())
    images = (image,) * (2 if score == "occlusion_accuracy" else 1)
    call = getattr(metrics, score)
    with pytest.raises(ValueError, match=rf"{score}: labels of images .* must have shape"):
        call(*images, labels[:, :5], overlap)
    with pytest.raises(ValueError, match=rf"{score}: overlaps of images .* must have shape"):
        call(*images, labels, overlap[:, :5])
    with pytest.raises(ValueError, match=rf"{score}: images must have shape"):
        call(*(picture[..., :2] for picture in images), labels, overlap)


@pytest.mark.usefixtures("_unchecked")
def test_pictures_of_two_shapes():
    image, labels, overlap = _arrays(*_planted())
    with pytest.raises(ValueError, match="both batches must have the same shape"):
        metrics.occlusion_accuracy(image[:, :5], image, labels, overlap)
