"""Pairs: pure functions of (seed, step), drawn uniformly; each record once for evaluation."""

import dataclasses

import numpy as np
import pytest

from volsynth.data import pairing, prepared
from volsynth.errors import UserError


@pytest.fixture(scope="module")
def uneven():
    """Person 0: one outfit of 2. Person 1: outfits of 4, 1 and 7. Person 2: five outfits of 20."""
    sizes = [(0, 0, 2), (1, 1, 4), (1, 2, 1), (1, 3, 7), *((2, o, 20) for o in range(4, 9))]
    person = np.concatenate([np.full(n, p) for p, _, n in sizes])
    outfit = np.concatenate([np.full(n, o) for _, o, n in sizes])
    order = np.random.default_rng(0).permutation(len(person))
    index = {"person": person[order], "outfit": outfit[order]}
    return prepared.Split("train", (), len(person), index, 32)


def test_training_pairs_are_a_pure_function_of_seed_and_step(train):
    pairs = pairing.training_pairs(train, 5, 17, 8)
    assert pairs.shape == (8, 2)
    np.random.seed(1)  # noqa: NPY002  Global state must not matter.
    np.testing.assert_array_equal(pairing.training_pairs(train, 5, 17, 8), pairs)
    assert np.any(pairing.training_pairs(train, 5, 18, 8) != pairs)
    assert np.any(pairing.training_pairs(train, 6, 17, 8) != pairs)
    # The two are not added up, or otherwise taken for one another.
    assert np.any(pairing.training_pairs(train, 17, 5, 8) != pairs)
    assert np.any(pairing.training_pairs(train, 6, 16, 8) != pairs)


def test_a_training_pair_is_two_records_of_one_person_in_one_outfit(uneven):
    person, outfit = uneven.index["person"], uneven.index["outfit"]
    pairs = pairing.training_pairs(uneven, 0, 0, 400)
    np.testing.assert_array_equal(person[pairs[:, 0]], person[pairs[:, 1]])
    np.testing.assert_array_equal(outfit[pairs[:, 0]], outfit[pairs[:, 1]])
    alone = outfit[pairs[:, 0]] == 2  # The outfit of which there is one record.
    assert 0 < np.sum(alone) < 200
    np.testing.assert_array_equal(pairs[:, 0] == pairs[:, 1], alone)


def _chi_square(counts):
    expected = np.sum(counts) / len(counts)
    return np.sum((counts - expected) ** 2 / expected)


def test_persons_then_outfits_then_records_are_drawn_uniformly(uneven):
    pairs = pairing.training_pairs(uneven, 1, 0, 4000)
    person, outfit = (uneven.index[key][pairs[:, 1]] for key in ("person", "outfit"))
    # Bounds are the 99.9 % quantiles. Drawing outfits or records instead exceeds them by far.
    assert _chi_square(np.bincount(person, minlength=3)) < 13.8
    assert _chi_square(np.bincount(outfit[person == 1] - 1, minlength=3)) < 13.8
    assert _chi_square(np.bincount(outfit[person == 2] - 4, minlength=5)) < 18.5
    for role in range(2):
        chosen = pairs[outfit == 3, role]
        _, counts = np.unique(chosen, return_counts=True)
        assert len(counts) == 7
        assert _chi_square(counts) < 22.5


def test_evaluation_pairs_have_every_record_once_as_target(uneven):
    pairs = pairing.evaluation_pairs(uneven, 0)
    np.testing.assert_array_equal(np.sort(pairs[:, 1]), np.arange(uneven.records))
    outfit = uneven.index["outfit"]
    np.testing.assert_array_equal(outfit[pairs[:, 0]], outfit[pairs[:, 1]])
    alone = outfit[pairs[:, 1]] == 2
    np.testing.assert_array_equal(pairs[:, 0] == pairs[:, 1], alone)
    # Every record is a source once, too: no image of a person is shown more than others.
    np.testing.assert_array_equal(np.sort(pairs[:, 0]), np.arange(uneven.records))
    np.testing.assert_array_equal(pairing.evaluation_pairs(uneven, 0), pairs)
    assert np.any(pairing.evaluation_pairs(uneven, 1) != pairs)


def test_pictures_without_another_one_can_be_left_out(uneven):
    pairs = pairing.evaluation_pairs(uneven, 0)
    others = pairing.evaluation_pairs(uneven, 0, keep_unpaired=False)
    assert 0 < len(others) < len(pairs)
    np.testing.assert_array_equal(others, pairs[pairs[:, 0] != pairs[:, 1]])
    # One record for each outfit.
    ids = {**uneven.index, "outfit": np.arange(uneven.records)}
    with pytest.raises(UserError, match="has no two images of one person in one outfit"):
        pairing.evaluation_pairs(dataclasses.replace(uneven, index=ids), 0, keep_unpaired=False)


def test_single_samples_have_their_source_as_target(tiny):
    train = tiny.split("train")
    pairs = np.concatenate([pairing.training_pairs(train, 0, s, 50, 0.3) for s in range(20)])
    share = np.mean(pairs[:, 0] == pairs[:, 1])
    assert abs(share - 0.3) < 0.05
    always = pairing.training_pairs(train, 0, 0, 50, 1.0)
    np.testing.assert_array_equal(always[:, 0], always[:, 1])


GOLDEN = [[[2, 5], [41, 13], [18, 25]], [[14, 42], [8, 27], [43, 0]]]


def test_pairs_are_those_that_earlier_runs_were_trained_on(train):
    # Change these only if runs that were begun before shall not go on with the batches they had.
    found = [pairing.training_pairs(train, *key).tolist() for key in ((0, 0, 3), (5, 10**5, 3))]
    assert found == GOLDEN


# --- triples -------------------------------------------------------------------------------------


def test_a_training_triple_is_of_one_outfit_and_its_records_differ(uneven):
    outfit = uneven.index["outfit"]
    triples = pairing.training_triples(uneven, 0, 0, 1000)
    source, further, target = triples.T
    np.testing.assert_array_equal(outfit[source], outfit[further])
    np.testing.assert_array_equal(outfit[source], outfit[target])
    sizes = np.bincount(outfit)[outfit[source]]
    np.testing.assert_array_equal(source == target, sizes == 1)
    # An outfit of two pictures has no third one.
    np.testing.assert_array_equal(further[sizes < 3], source[sizes < 3])
    many = sizes > 2
    assert not np.any(further[many] == target[many])
    assert abs(np.mean(further[many] == source[many]) - pairing.ALONE) < 0.05
    np.testing.assert_array_equal(pairing.training_triples(uneven, 0, 0, 1000), triples)
    assert np.any(pairing.training_triples(uneven, 0, 1, 1000) != triples)


def test_single_triples_have_their_source_as_target(uneven):
    source, further, target = pairing.training_triples(uneven, 0, 0, 200, 1.0).T
    np.testing.assert_array_equal(source, target)
    # What it looks like in another picture is still to be seen.
    assert np.mean(further != source) > 0.3


def test_evaluation_triples_are_the_pairs_with_a_further_picture(uneven):
    triples = pairing.evaluation_triples(uneven, 3)
    np.testing.assert_array_equal(triples[:, [0, 2]], pairing.evaluation_pairs(uneven, 3))
    outfit = uneven.index["outfit"]
    source, further, target = triples.T
    np.testing.assert_array_equal(outfit[further], outfit[target])
    sizes = np.bincount(outfit)[outfit[source]]
    np.testing.assert_array_equal(further == source, sizes < 3)
    assert not np.any((further == target)[sizes > 1])
    others = pairing.evaluation_triples(uneven, 3, keep_unpaired=False)
    np.testing.assert_array_equal(others, triples[sizes > 1])
