"""Several data sets as one: shares, uniform draws within each, names of records and errors."""

import json
import shutil

import numpy as np
import pytest

from volsynth.data import mixture, pairing, pipeline, prepared
from volsynth.errors import UserError


@pytest.fixture(scope="module")
def sets(data_dir, tmp_path_factory):
    """A root with posed_people/tiny, the same as others/tiny, and as large/tiny of 64 pixels."""
    root = tmp_path_factory.mktemp("sets")
    for name in ("posed_people", "others", "large"):
        shutil.copytree(data_dir / "posed_people", root / name)
        (path,) = (root / name).rglob("manifest.json")
        manifest = json.loads(path.read_text())
        manifest |= {"name": name, "image_size": 64 if name == "large" else 32}
        path.write_text(json.dumps(manifest))
    return root


def _mix(root, also):
    main = prepared.open_prepared(str(root), "posed_people", "tiny")
    return mixture.open_mixture(main, str(root), also)


def test_a_data_set_alone_is_what_it_was(sets):
    mixed = _mix(sets, {})
    assert isinstance(mixed.split("train"), prepared.Split)
    assert mixed.identity == mixed.sets[0].identity == mixture.main_identity(mixed.identity)


def test_samples_come_from_each_set_by_its_share_and_uniformly_within(sets):
    split = _mix(sets, {"others/tiny": 0.6}).split("train")
    pairs = np.concatenate([pairing.training_pairs(split, 0, s, 50) for s in range(80)])
    second = pairs >= 48
    np.testing.assert_array_equal(second[:, 0], second[:, 1])
    # Four standard deviations of a share of 4,000 samples.
    assert abs(np.mean(second) - 0.6) < 0.031
    index = split.splits[0].index
    for chosen in (pairs[second[:, 0]] - 48, pairs[~second[:, 0]]):
        assert chosen.min() >= 0
        assert chosen.max() < 48
        for key in ("person", "outfit"):
            np.testing.assert_array_equal(index[key][chosen[:, 0]], index[key][chosen[:, 1]])
        counts = np.bincount(index["person"][chosen[:, 0]], minlength=6)
        assert np.sum((counts - counts.mean()) ** 2 / counts.mean()) < 20.5  # 99.9 %
        assert np.all(chosen[:, 0] != chosen[:, 1])


def test_records_are_those_of_their_data_set_in_the_order_asked_for(sets):
    split = _mix(sets, {"others/tiny": 0.5}).split("train")
    first, second = split.splits
    found = split.read([47, 48, 0, 95, 1])
    assert found == [
        *first.read([47]), *second.read([0]), *first.read([0]), *second.read([47]), *first.read([1])
    ]  # fmt: skip
    assert split.locate(47).startswith("record 47 of split 'train' in ")
    assert split.locate(48).startswith("record 0 of split 'train' in ")
    assert "others" in split.locate(48)


def test_the_order_in_which_others_are_given_does_not_matter(sets):
    shutil.copytree(sets / "others", sets / "again")
    one = _mix(sets, {"others/tiny": 0.25, "again/tiny": 0.5})
    two = _mix(sets, {"again/tiny": 0.5, "others/tiny": 0.25})
    assert one == two
    assert one.shares == (0.25, 0.5, 0.25)
    assert one.identity == two.identity
    np.testing.assert_array_equal(
        pairing.training_pairs(one.split("train"), 3, 4, 64),
        pairing.training_pairs(two.split("train"), 3, 4, 64),
    )


def test_the_identity_is_that_of_all_sets(sets):
    mixed = _mix(sets, {"others/tiny": 0.5})
    main, other = mixed.sets
    assert mixed.identity == f"{main.identity}+others/tiny:{other.identity}"
    assert mixture.main_identity(mixed.identity) == main.identity


def test_a_damaged_shard_of_another_set_is_named(sets, tmp_path):
    shutil.copytree(sets, tmp_path / "sets")
    split = _mix(tmp_path / "sets", {"others/tiny": 0.5}).split("train")
    (shard,) = (tmp_path / "sets" / "others").rglob("*train.array_record-00000*")
    shard.write_bytes(bytes(len(shard.read_bytes())))
    with pytest.raises(prepared.DataError, match=f"others/.*{shard.name} "):
        list(pipeline.training_batches(split, 0, 4, 0, 4))


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize("share", [0, 1, 1.5, -0.1, True, "half", float("nan"), None])
def test_a_share_that_cannot_be(sets, share):
    with pytest.raises(UserError, match=r"the share of others/tiny must lie between 0 and 1, got "):
        _mix(sets, {"others/tiny": share})


@pytest.mark.parametrize(
    ("also", "message"),
    [
        ({"others": 0.5}, "'others' names no data set; write NAME/CONFIG, such as posed_people/ti"),
        ({"/tiny": 0.5}, "'/tiny' names no data set"),
        ({"others/": 0.5}, "'others/' names no data set"),
        ({"nothing/tiny": 0.5}, "no prepared data set in .*nothing/tiny"),
        ({"posed_people/tiny": 0.5}, "posed_people/tiny is the main data set"),
        ({"large/tiny": 0.5}, "large.* has images of 64 pixels, .* of 32; give data sets of one"),
    ],
)
def test_others_that_cannot_be(sets, also, message):
    with pytest.raises(UserError, match=message):
        _mix(sets, also)


def test_shares_that_leave_nothing_for_the_main_set(sets):
    shutil.copytree(sets / "others", sets / "more")
    with pytest.raises(UserError, match=r"sum to 1 and leave nothing for posed_people/tiny"):
        _mix(sets, {"others/tiny": 0.5, "more/tiny": 0.5})
