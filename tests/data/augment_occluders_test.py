"""Occluders: their pixels, sizes and noise."""

import augmented
import numpy as np
import pytest

from volsynth.data import augment


def _covering(people, draws):
    settings = augment.Augment(occlude=1.0)
    images, masks = augmented.pixels(settings, people["image"], people["mask"], draws)
    np.testing.assert_array_equal(masks, people["mask"])
    return images, np.any(images != people["image"], axis=-1)


@pytest.mark.parametrize("is_round", [False, True])
@pytest.mark.parametrize("noisy", [False, True])
def test_an_occluder_covers_its_pixels_and_no_others(people, is_round, noisy):
    rng = np.random.default_rng(1)
    yes = np.ones(8, bool)
    draws = augmented.still(
        8,
        covered=yes & (np.arange(8) != 2),
        round=yes & is_round,
        noisy=yes & noisy,
        centre=rng.uniform(0.3, 0.7, (8, 2)),
        extent=rng.uniform(0.1, 0.3, (8, 2)),
        colour=rng.uniform(-1, 1, (8, 3)),
        noise=rng.integers(2**31, size=(8, 2)).astype(np.int32),
    )
    images, covered = _covering(people, draws)
    for i in range(8):
        wanted = np.zeros((32, 32), bool)
        for row in range(32):
            for column in range(32):
                place = np.array([column + 0.5, row + 0.5]) / 32
                u, v = (place - draws.centre[i]) / draws.extent[i]
                inside = u * u + v * v < 1 if is_round else max(abs(u), abs(v)) < 1
                wanted[row, column] = inside and i != 2
        np.testing.assert_array_equal(covered[i], wanted)
        if not wanted.any():
            continue
        filling = images[i][wanted]
        assert np.abs(filling).max() <= 1
        if noisy:
            # Of a uniform distribution on [-1, 1].
            assert np.all(np.abs(filling.mean(axis=0)) < 0.35)
            assert np.all(np.abs(filling.std(axis=0) - 3**-0.5) < 0.2)
            assert len(np.unique(filling)) > 0.99 * filling.size
        else:
            np.testing.assert_array_equal(filling, np.float32([draws.colour[i]] * len(filling)))
    if noisy:
        assert np.any(images[0, 16] != images[1, 16])


def test_occluders_are_as_large_as_they_should_be_and_inside():
    draws = augment.draw(augment.Augment(occlude=0.7), 0, 0, range(1000))
    assert np.all(draws.centre - draws.extent >= -1e-9)
    assert np.all(draws.centre + draws.extent <= 1 + 1e-9)
    area = 4 * np.prod(draws.extent, axis=1) * np.where(draws.round, np.pi / 4, 1)
    assert area.min() > 0
    assert area.max() <= 1 / 3 + 1e-9
    np.testing.assert_allclose(np.quantile(area, [0.25, 0.5]), [1 / 12, 1 / 6], atol=0.015)
    aspect = draws.extent[:, 0] / draws.extent[:, 1]
    assert 0.3 - 1e-9 <= aspect.min() < 0.35
    assert 2.9 < aspect.max() <= 1 / 0.3 + 1e-9
    # Four standard errors of a share of 2000.
    for share, wanted in ((draws.covered, 0.7), (draws.round, 0.5), (draws.noisy, 0.5)):
        assert abs(share.mean() - wanted) < 0.045
    halves = np.split(draws.covered, 2)
    assert abs(np.mean(halves[0] & halves[1]) - 0.49) < 0.065, "sources and targets by themselves"


def test_every_image_has_noise_of_its_own(people):
    noise = np.array([[1, i] for i in range(8)], np.int32)
    yes = np.ones(8, bool)
    draws = augmented.still(8, covered=yes, noisy=yes, extent=np.full((8, 2), 0.5), noise=noise)
    images, covered = _covering(people, draws)
    assert covered.all()
    assert len({image.tobytes() for image in images}) == 8
