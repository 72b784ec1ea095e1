"""Laws of trained runs: systems that keep them, systems that break one, and the command."""

import json

import numpy as np
import pytest

from volsynth import cli, skeleton
from volsynth.config import config_to_dict, load_config
from volsynth.conventions import BACKGROUND
from volsynth.data import fake
from volsynth.diagnostics import laws
from volsynth.errors import UserError
from volsynth.fields import PAIR
from volsynth.images import reader
from volsynth.train import run_record


@pytest.fixture
def batch():
    return fake.batch(2, 32, fields=PAIR)


def test_in_its_own_pose_a_source_is_its_own_target(batch):
    own = laws.own_pose(batch)
    assert set(own) == set(batch)
    for name, value in own.items():
        np.testing.assert_array_equal(value, batch[name.replace("target_", "source_")])


def test_what_is_moved_back_is_where_it_was(batch):
    moved = laws.shift(batch, 5)
    np.testing.assert_array_equal(
        moved["source_image"][:, 5:, 5:], batch["source_image"][:, :-5, :-5]
    )
    np.testing.assert_array_equal(
        moved["target_image"][:, :5], np.broadcast_to(np.float32(BACKGROUND), (2, 5, 32, 3))
    )
    np.testing.assert_allclose(moved["source_joints"], batch["source_joints"] + [5, 5, 0])
    back = laws.shifted(moved["source_image"], -5)
    np.testing.assert_array_equal(back[:, :-5, :-5], batch["source_image"][:, :-5, :-5])
    np.testing.assert_array_equal(moved["source_visible"], batch["source_visible"])


def test_a_mirror_exchanges_left_and_right_and_twice_it_changes_nothing(batch):
    batch["source_visible"] = batch["source_visible"].copy()
    batch["source_visible"][:, skeleton.INDEX["left_wrist"]] = False
    other = laws.mirror(batch)
    right, left = (skeleton.INDEX[f"{side}_wrist"] for side in ("right", "left"))
    np.testing.assert_allclose(
        other["target_joints"][:, right], batch["target_joints"][:, left] * [-1, 1, 1] + [32, 0, 0]
    )
    assert not other["source_visible"][:, right].any()
    assert other["source_visible"][:, left].all()
    np.testing.assert_array_equal(other["source_image"], batch["source_image"][:, :, ::-1])
    for name, value in laws.mirror(other).items():
        np.testing.assert_allclose(value, batch[name], atol=1e-4)


def _source(batch):
    """The maker that gives the source back, and keeps every law."""
    return np.asarray(batch["source_image"])


def _same(batch):
    """The maker of one picture, whatever the source: it is moved and mirrored by nothing."""
    rng = np.random.default_rng(0)
    return np.broadcast_to(
        rng.uniform(-1, 1, batch["source_image"].shape[1:]), batch["source_image"].shape
    ).astype(np.float32)


def _brighter_on_the_left(batch):
    """The maker of a source whose left half is brighter, which a mirror would show on the right."""
    left = np.arange(batch["source_image"].shape[2])[:, None] < 16
    return np.float32(0.5 * batch["source_image"] + np.where(left, 0.5, -0.5))


def _darker_from_the_top(batch):
    """The maker of a source that is darker the lower it is; what moves down gets darker."""
    rows = np.linspace(1, -1, batch["source_image"].shape[1])[:, None, None]
    return np.float32(0.5 * batch["source_image"] + 0.5 * rows)


@pytest.mark.parametrize(
    ("make", "kept", "broken"),
    [
        (_source, {"own_pose", "shift", "mirror"}, set()),
        (_same, set(), {"own_pose", "shift", "mirror"}),
        (_brighter_on_the_left, set(), {"own_pose", "mirror"}),
        (_darker_from_the_top, {"mirror"}, {"own_pose", "shift"}),
    ],
)
def test_a_law_is_kept_or_broken(trained, tmp_path, monkeypatch, make, kept, broken):
    monkeypatch.setattr(laws, "_maker", lambda run: make)
    out = tmp_path / "laws.png"
    report = laws.measure_laws(trained, "test", count=6, out=out)
    assert (report["pairs"], report["split"], report["step"]) == (6, "test", 6)
    for name, law in report["laws"].items():
        assert law["lowest"] <= law["mean"] <= 1 + 1e-6
        if name in broken:
            assert law["mean"] < 0.99, name
        if name in kept:
            np.testing.assert_allclose(law["lowest"], 1, atol=1e-5, err_msg=name)
    # Four rows, and a column for each title.
    assert reader.read_rgb(out).shape[0] > 4 * 128


def test_the_command(trained, capsys):
    command = ["laws", "--workdir", str(trained), "--count", "3"]
    assert cli.main([*command, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["picture"] == str(trained / "laws.png")
    assert set(report["laws"]) == {"own_pose", "shift", "mirror"}
    lines = laws.summary(report).splitlines()
    assert lines[0] == f"{trained / 'laws.png'}: 3 pairs of test"
    assert lines[1].startswith("in its own pose a person looks like the source: SSIM over")
    assert len(lines) == 4


def test_what_cannot_be_looked_at_is_one_line(trained, tmp_path, data_dir, tiny):
    with pytest.raises(UserError, match="--count must be at least 1, got 0"):
        laws.measure_laws(trained, "test", count=0)
    with pytest.raises(UserError, match=r"must end in \.png"):
        laws.measure_laws(trained, "test", out=tmp_path / "laws.gif")
    config = load_config("configs/pose_estimator.py:smoke", [f"--config.data.dir={data_dir}"])
    run_record.claim_workdir(tmp_path / "run", config_to_dict(config), tiny.identity)
    with pytest.raises(UserError, match="is a run of 'pose_estimator', which makes no images"):
        laws.measure_laws(tmp_path / "run", "test")
