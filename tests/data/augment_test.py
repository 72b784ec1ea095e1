"""Augmentation: what is drawn depends on seed, step and row alone, and reaches the batches."""

import dataclasses
import re

import numpy as np
import pytest
from augmented import COLOURS, EVERYTHING, MOVES

from volsynth.data import augment, augment_images, decoding, makers, pairing, pipeline
from volsynth.diagnostics import data_sheet
from volsynth.errors import UserError
from volsynth.fields import OF_A_PICTURE, PAIR

# --- draws ---------------------------------------------------------------------------------------


def test_draws_fill_their_ranges():
    draws = augment.draw(EVERYTHING, 0, 0, range(2000))
    for values, low, high in (
        (np.degrees(draws.angle), -30, 30),
        (draws.shift[:, 0], -0.1, 0.1),
        (draws.shift[:, 1], -0.1, 0.1),
        (np.log(draws.factor), -np.log(1.3), np.log(1.3)),
        (draws.hue, -0.2, 0.2),
        (draws.brightness, -0.2, 0.2),
        (draws.contrast, 0.7, 1.3),
        (draws.saturation, 0.6, 1.4),
        *((draws.colour[:, c], -1, 1) for c in range(3)),
    ):
        assert low <= values.min()
        assert values.max() <= high
        wanted = low + (high - low) * np.array([0.01, 0.25, 0.5, 0.75, 0.99])
        found = np.quantile(values, [0.01, 0.25, 0.5, 0.75, 0.99])
        np.testing.assert_allclose(found, wanted, atol=0.04 * (high - low))


def test_sources_and_targets_move_by_draws_of_their_own():
    draws = augment.draw(EVERYTHING, 0, 0, range(500))
    numbers = [draws.angle, *draws.shift.T, draws.factor, draws.centre[:, 0], *draws.colour.T]
    columns = [half for values in numbers for half in np.split(values, 2)]
    columns += [np.split(v, 2)[0] for v in (draws.hue, draws.contrast, draws.brightness)]
    correlation = np.corrcoef(columns) - np.eye(len(columns))
    assert np.abs(correlation).max() < 4.5 / np.sqrt(500)


def _equal(first, second, rows=slice(None)):
    for name, a, b in zip(augment.AugmentParams._fields, first, second, strict=True):
        np.testing.assert_array_equal(a, np.concatenate([h[rows] for h in np.split(b, 2)]), name)


def test_draws_are_a_function_of_seed_step_and_row():
    whole = augment.draw(EVERYTHING, 5, 17, range(8))
    np.random.seed(1)  # noqa: NPY002  Global state must not matter.
    _equal(augment.draw(EVERYTHING, 5, 17, range(8)), whole)
    _equal(augment.draw(EVERYTHING, 5, 17, range(2, 5)), whole, slice(2, 5))
    _equal(augment.draw(EVERYTHING, 5, 17, [6]), whole, slice(6, 7))
    for seed, step in ((5, 18), (6, 17), (17, 5), (6, 16)):
        other = augment.draw(EVERYTHING, seed, step, range(8))
        assert not np.any(np.isin(other.angle, whole.angle))


def test_a_further_image_has_draws_of_its_own_and_changes_no_other():
    two, three = (augment.draw(EVERYTHING, 5, 17, range(8), images=n) for n in (2, 3))
    for name, few, many in zip(augment.AugmentParams._fields, two, three, strict=True):
        np.testing.assert_array_equal(many[:16], few, name)
    assert not np.any(np.isin(three.angle[16:], two.angle))
    # Colours are those of the person, and change alike in all images.
    np.testing.assert_array_equal(three.hue[16:], two.hue[:8])
    chosen = three.for_roles([(2, 1), (0, 2)], drawn=3)
    np.testing.assert_array_equal(chosen.angle[:8], three.angle[16:])
    np.testing.assert_array_equal(chosen.angle[8:], np.repeat(three.angle[:8], 2))


def test_one_setting_does_not_change_what_the_others_give():
    turned = augment.draw(augment.Augment(rotate=30), 0, 0, range(8))
    np.testing.assert_array_equal(turned.angle, augment.draw(EVERYTHING, 0, 0, range(8)).angle)
    for name in ("shift", "hue", "brightness"):
        assert not np.any(getattr(turned, name))
    for name in ("factor", "contrast", "saturation"):
        np.testing.assert_array_equal(getattr(turned, name), np.ones(len(turned.angle)))
    assert not turned.covered.any()


def test_draws_are_none_of_the_numbers_that_pairs_are_drawn_from(monkeypatch):
    seen = []
    real = np.random.Philox

    def philox(key, counter=(0, 0, 0, 0)):
        seen.append((tuple(key), tuple(counter)))
        return real(key=key, counter=counter)

    monkeypatch.setattr(np.random, "Philox", philox)
    augment.draw(EVERYTHING, 5, 17, range(3))
    assert len(set(seen)) == 3
    for key, counter in seen:
        # Pairs begin at zero and would have to draw 2^192 numbers to come here.
        assert key == (5, 17)
        assert counter[3] == 1


GOLDEN = [0.261986, -0.359191, -0.011932, 0.512773]


def test_draws_are_those_that_earlier_runs_were_trained_with():
    # Change these only if runs that were begun before shall not go on with the batches they had.
    draws = augment.draw(EVERYTHING, 5, 10**5, range(1))
    found = [draws.angle[0], draws.angle[1], draws.hue[0], draws.colour[1, 2]]
    np.testing.assert_allclose(found, GOLDEN, atol=1e-5)


# --- in the pipeline -----------------------------------------------------------------------------


def _batches(split, start, stop, augmentation=EVERYTHING, **others):
    stream = pipeline.training_batches(
        split, 3, 4, start, stop, augmentation=augmentation, **others
    )
    return list(stream)


@pytest.fixture(scope="module")
def changed(tiny):
    """The changed batches of the steps 0 to 3."""
    return _batches(tiny.split("train"), 0, 4)


def test_batches_are_changed_and_of_the_same_form(tiny, changed):
    plain = _batches(tiny.split("train"), 0, 4, augment.NONE)
    for batch, before in zip(changed, plain, strict=True):
        assert batch.keys() == before.keys()
        for key, value in before.items():
            assert (batch[key].dtype, batch[key].shape) == (value.dtype, value.shape)
            assert np.any(batch[key] != value) == (not key.endswith("visible"))
    one = next(pipeline.training_batches(tiny.split("train"), 3, 4, 0, 1))
    for key, value in plain[0].items():
        np.testing.assert_array_equal(one[key], value)


def test_a_batch_is_its_records_changed_by_the_draws_of_its_step(tiny, changed):
    split = tiny.split("train")
    numbers = pairing.training_pairs(split, 3, 2, 4).T.reshape(-1)
    kinds = tuple(kind for kind in OF_A_PICTURE if f"source_{kind}" in PAIR)
    record = decoding.read_fields(split, numbers, makers.record_fields(kinds))
    values = makers.make(kinds, record, 32)
    params = augment.draw(EVERYTHING, 3, 2, range(4))
    wanted = augment_images.apply(EVERYTHING, values, params, 32)
    for key, value in wanted.items():
        np.testing.assert_array_equal(changed[2][f"source_{key}"], value[:4])
        np.testing.assert_array_equal(changed[2][f"target_{key}"], value[4:])


@pytest.mark.parametrize("start", [1, 3])
@pytest.mark.parametrize("threads", [1, 3])
def test_resumed_later_and_by_any_threads_the_same_batches_come(tiny, changed, start, threads):
    resumed = _batches(tiny.split("train"), start, 4, threads=threads)
    for batch, wanted in zip(resumed, changed[start:], strict=True):
        for key in wanted:
            np.testing.assert_array_equal(batch[key], wanted[key])


@pytest.mark.parametrize("hosts", [2, 4])
def test_hosts_together_make_the_whole_changed_batch(tiny, changed, hosts):
    share = 4 // hosts
    streams = [
        _batches(tiny.split("train"), 0, 4, rows=slice(h * share, (h + 1) * share))
        for h in range(hosts)
    ]
    for whole, *parts in zip(changed, *streams, strict=True):
        for key, value in whole.items():
            np.testing.assert_array_equal(np.concatenate([p[key] for p in parts]), value)


def test_the_sheet_of_training_pairs_shows_the_first_batch(tiny, monkeypatch):
    seen = []
    real = data_sheet.grids.grid
    monkeypatch.setattr(
        data_sheet.grids,
        "grid",
        lambda rows, titles, **o: seen.append((rows, titles)) or real(rows, titles),
    )
    data_sheet.training_sheet(tiny.split("train"), EVERYTHING, 3, seed=3)
    ((rows, titles),) = seen
    assert titles == ["source", "joints", "target", "joints"] * 2
    assert [len(row) for row in rows] == [8, 8]
    (batch,) = pipeline.training_batches(tiny.split("train"), 3, 3, 0, 1, augmentation=EVERYTHING)
    for i in range(3):
        source, over, target, _ = rows[i // 2][4 * (i % 2) : 4 * (i % 2) + 4]
        for picture, role in ((source, "source"), (target, "target")):
            levels = np.rint((np.float64(batch[f"{role}_image"][i]) + 1) * 127.5)
            np.testing.assert_array_equal(picture, levels)
        assert np.any(over != source)
    assert np.all(np.array(rows[1][4:]) == 255)


# --- the config ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize(("name", "most"), augment._MOST.items())
def test_a_value_out_of_its_range(name, most):
    assert getattr(augment.from_config({"augment": {name: most}}), name) == most
    for wrong in (-0.01, most + 0.01, float("nan"), True, "much", None):
        message = f"config.data.augment.{name} must lie in [0, {most:g}], 0 for none, got {wrong!r}"
        with pytest.raises(UserError, match=re.escape(message)):
            augment.from_config({"augment": {name: wrong}})


def test_a_name_that_is_none():
    message = "config.data.augment has no key 'rotat'; did you mean 'rotate'? Allowed: brightness, "
    with pytest.raises(UserError, match=re.escape(message)):
        augment.from_config({"augment": {"rotat": 1.0}})


def test_an_empty_section_changes_nothing():
    assert augment.from_config({"augment": {}}) == augment.NONE


def test_every_setting_is_in_the_config_and_has_a_range():
    from volsynth.config import load_config

    names = [field.name for field in dataclasses.fields(augment.Augment)]
    assert list(augment._MOST) == names

    def of(variants):
        loaded = load_config(f"configs/volumetric.py:{variants}")
        assert set(loaded.data.augment) == set(names)
        return augment.from_config(loaded.data)

    assert of("full").moves
    assert of("full").colours
    assert of("full").occlude == 0
    assert not of("demo").changes
    assert not of("full,no_augment").changes
    assert of("no_colour").moves
    assert not of("no_colour").colours
    assert all(dataclasses.asdict(of("smoke")).values())


@pytest.mark.parametrize("name", augment._MOST)
def test_any_setting_by_itself_changes_something(people, name):
    settings = augment.Augment(**{name: getattr(EVERYTHING, name)})
    assert settings.changes
    changed = augment_images.apply(settings, people, augment.draw(settings, 0, 0, range(4)), 32)
    assert np.any(changed["image"] != people["image"])
    assert np.any(changed["joints"] != people["joints"]) == settings.moves
    assert settings.moves == (name in MOVES)
    assert settings.colours == (name in COLOURS)
