"""The entries that two results must have in common to be compared."""

import hashlib

import numpy as np
import pytest

from volsynth.results.protocol import Protocol, group_protocols, sha256_of_pairs

SHARED = {"split": "test", "images": 640, "pairs_sha256": "ab" * 32, "intervals": {"level": 0.95}}
SCORES = {"all": {"images": "RGB"}, "ssim": {"window": 11, "range": [0, 1]}, "l1": {}}


def test_what_is_written_is_what_is_read():
    protocol = Protocol({**SHARED, "pairs": ("a", "b")}, SCORES)
    value = protocol.to_json()
    assert value["pairs"] == ["a", "b"]
    assert value["digest"] == protocol.digest
    assert Protocol.from_json(value).to_json() == value
    assert Protocol.from_json({"images": 3}).scores == {}
    assert Protocol.from_json({"scores": 3}).scores == {}


def test_the_digest_is_that_of_the_values_and_not_of_their_order():
    turned = Protocol(dict(reversed(SHARED.items())), dict(reversed(SCORES.items())))
    assert turned.digest == Protocol(SHARED, SCORES).digest
    assert len(turned.digest) == 10
    others = [
        Protocol({**SHARED, "split": "train"}, SCORES),
        Protocol(SHARED, {**SCORES, "ssim": {"window": 7, "range": [0, 1]}}),
        Protocol(SHARED, {k: v for k, v in SCORES.items() if k != "l1"}),
    ]
    assert len({p.digest for p in (turned, *others)}) == 4


@pytest.mark.parametrize(
    ("shared", "scores", "wanted"),
    [
        ({}, {}, []),
        ({"split": "train"}, {}, ["split"]),
        ({"intervals": {"level": 0.9}}, {}, ["intervals.level"]),
        ({"new": None}, {}, ["new"]),
        ({}, {"ssim": {"window": 7, "range": [0, 1]}}, ["scores.ssim.window"]),
        ({}, {"ssim": {"window": 11, "range": [-1, 1]}}, ["scores.ssim.range"]),
        ({}, {"all": {"images": "BGR"}}, ["scores.all.images"]),
        ({}, {"lpips": {"weights": "x"}}, []),
    ],
)
def test_differences_are_named_both_ways(shared, scores, wanted):
    a, b = Protocol(SHARED, SCORES), Protocol({**SHARED, **shared}, {**SCORES, **scores})
    assert a.differences(b) == b.differences(a) == wanted


def test_of_one_score_only_its_own_entry_counts():
    a, b = Protocol(SHARED, SCORES), Protocol(SHARED, {**SCORES, "ssim": {"window": 7}})
    assert a.differences(b, "l1") == []
    assert a.differences(b, "ssim") == ["scores.ssim.window", "scores.ssim.range"]


def test_results_are_told_apart_by_all_that_those_before_have():
    """The poorest first: it differs from neither of the others, which differ from each other."""
    plain = Protocol(SHARED, SCORES)
    one, two = (Protocol(SHARED, {**SCORES, "pose": {"estimator": name}}) for name in "xy")
    letters, known = group_protocols(
        [plain, one, two, one, Protocol({**SHARED, "images": 3}, SCORES)]
    )
    assert letters == ["a", "a", "b", "a", "c"]
    assert known["a"].scores["pose"] == {"estimator": "x"}
    assert known["a"].scores["ssim"] == SCORES["ssim"]
    assert group_protocols([]) == ([], {})
    many = [Protocol({"images": i}, {}) for i in range(28)]
    assert group_protocols(many)[0][25:] == ["z", "aa", "ab"]


def test_the_hash_of_pairs_depends_on_their_order_and_not_on_their_type():
    pairs = np.array([[0, 1], [2, 300]])
    wanted = hashlib.sha256(b"".join(n.to_bytes(8, "little") for n in (0, 1, 2, 300))).hexdigest()
    assert sha256_of_pairs(pairs) == sha256_of_pairs(pairs.astype(np.int32)) == wanted
    assert sha256_of_pairs(pairs[::-1]) != wanted


def test_the_summary_is_one_line():
    shared = {**SHARED, "data": "people/64 1.0.0", "image_size": 64, "file_format": "PNG"}
    text = Protocol({**shared, "resize": "Lanczos"}, {}).summary()
    assert "\n" not in text
    for part in ("people/64 1.0.0, test", "640 pairs (ababababab)", "64 pixels", "PNG", "Lanczos"):
        assert part in text
