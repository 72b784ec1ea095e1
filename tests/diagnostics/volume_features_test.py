"""`volsynth features`: what is drawn and measured of a run's volume, and what has none."""

import contextlib
import io
import json
import pathlib
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from volsynth import cli, conventions
from volsynth.config import config_to_dict, load_config
from volsynth.data import fake, pipeline
from volsynth.diagnostics import volume_features, volume_views
from volsynth.errors import UserError
from volsynth.images import draw, grids
from volsynth.objectives import image_system
from volsynth.runs import restoring
from volsynth.skeleton import NUM_PARTS
from volsynth.system import evaluation_context
from volsynth.tasks import gallery
from volsynth.train import run_record

KEY = jax.random.key(0)


# --- the generator, whole and by halves ----------------------------------------------------------


class Linear(nn.Module):
    """A generator in which everything is linear: layers of the image, moved aside, summed."""

    layers: int = 4

    def setup(self):
        self.weights = self.param("weights", nn.initializers.normal(1.0), (self.layers,))

    def encode(self, batch):
        return {"volume": batch["source_image"][:, :, :, None] * self.weights[:, None]}

    def move(self, features, batch):
        volume = features["volume"]
        masks = jnp.zeros((volume.shape[0], NUM_PARTS, *volume.shape[1:4]), bool)
        return {"warped": jnp.roll(volume, 1, axis=2), "masks": masks}

    def render(self, moved, batch):
        side = batch["source_image"].shape[2]
        return {"image": jnp.sum(moved["warped"], axis=3) / side}


def _linear(batch, layers=4):
    """The variables of a linear generator, and a probe of its volume."""
    generator = Linear(layers=layers)
    variables = {"generator": generator.init(KEY, batch, method="encode")}
    return variables, volume_features.volume_probe(image_system.generator_stages(generator))


def test_the_inner_and_the_outer_layers_together_are_the_whole():
    batch = fake.batch(2, 16)
    variables, probe = _linear(batch)
    seen = probe(variables, batch)
    weights = np.asarray(variables["generator"]["params"]["weights"])
    image = np.roll(batch["source_image"], 1, axis=2)
    for name, chosen in (("image", [0, 1, 2, 3]), ("inner", [1, 2]), ("outer", [0, 3])):
        np.testing.assert_allclose(seen[name], weights[chosen].sum() * image / 16, atol=1e-6)
    np.testing.assert_allclose(seen["inner"] + seen["outer"], seen["image"], atol=1e-6)
    # The picture shows the volume as it is, not one of its halves.
    np.testing.assert_allclose(seen["warped"], np.roll(seen["volume"], 1, axis=2), atol=1e-6)


# --- numbers -------------------------------------------------------------------------------------


def _pair(rows, layers, part_layers, side=8):
    """A person whose features lie in some layers and parts in others, in some rows of 8."""
    volume, masks = np.zeros((8, 8, 8, 1)), np.zeros((NUM_PARTS, 8, 8, 8), bool)
    volume[rows, 2:4, layers] = 1
    masks[1, rows, 2:4, part_layers] = True
    person = np.zeros((side, side), bool)
    person[rows, 2:4] = True
    image = np.zeros((side, side, 3), np.float32)
    return {
        "source_mask": person,
        "target_mask": ~person,
        "before": volume_views.volume_views(volume),
        "after": volume_views.volume_views(volume),
        "parts": volume_views.part_views(masks),
        "image": image,
        "inner": image + 0.25,
        "outer": image - 0.5,
    }


def test_measures_of_a_person_whose_features_are_with_the_parts():
    front, back = slice(0, 2), slice(6, 8)
    own = _pair(slice(2, 6), front, front)
    row = volume_features.measure_pair(
        own, [_pair(slice(2, 6), back, back), _pair(slice(2, 6), back, front)]
    )
    assert row["silhouette"]["before"] == {"inside": pytest.approx(1), "area": 8 / 64}
    assert row["silhouette"]["after"] == {"inside": pytest.approx(0), "area": 56 / 64}
    for name in ("parts", "before", "after"):
        assert row["depth"][name]["centre"] == pytest.approx(1 / 8)
        assert row["depth"][name]["width"] == pytest.approx(1 / 16)
    correlation = row["correlation"]
    assert correlation["profile"]["own"] == pytest.approx(1)
    # Of the others one has its parts at the back (-1/3, as two of eight layers do), one here (1).
    assert correlation["profile"]["others"] == pytest.approx((1 - 1 / 3) / 2)
    assert correlation["side"]["own"] == pytest.approx(1)
    assert correlation["side"]["others"] == pytest.approx((1 - 1 / 7) / 2)
    assert row["l1"] == {"inner": 0.25, "outer": 0.5}


def test_rows_tell_in_which_depth_the_features_are():
    """Profiles alone are the same where the upper half leans forward and the lower one back."""
    leaning = _pair(slice(0, 4), slice(0, 2), slice(0, 2))
    other = _pair(slice(4, 8), slice(0, 2), slice(0, 2))
    row = volume_features.measure_pair(leaning, [other])
    assert row["correlation"]["profile"]["others"] == pytest.approx(1)
    assert row["correlation"]["side"]["others"] < 0


def test_nobody_else_and_nothing_at_all_have_no_correlation():
    pair = _pair(slice(2, 6), slice(0, 2), slice(0, 2))
    row = volume_features.measure_pair(pair, [])
    assert row["correlation"]["profile"] == {"own": pytest.approx(1), "others": None}
    empty = _pair(slice(0, 0), slice(0, 0), slice(0, 0))
    row = volume_features.measure_pair(empty, [pair])
    assert row["correlation"]["side"] == {"own": None, "others": None}
    assert volume_features._mean([row, row])["correlation"]["side"] == {"own": None, "others": None}


def test_the_offcut_is_no_part():
    masks = np.zeros((NUM_PARTS + 1, 8, 8, 8), bool)
    masks[NUM_PARTS] = True
    masks[3, 4, 4, 4] = True
    assert volume_features._covered({"parts": volume_views.part_views(masks)}).sum() == 1


def test_means_leave_out_what_is_unknown():
    rows = [{"a": {"b": 1.0}, "c": None}, {"a": {"b": 4.0}, "c": 3.0}]
    assert volume_features._mean(rows) == {"a": {"b": 2.5}, "c": 3.0}


# --- the command ---------------------------------------------------------------------------------


class Shown(NamedTuple):
    """The text that the command printed, its picture's file, and what stands in the picture."""

    printed: str
    out: pathlib.Path
    rows: list
    titles: tuple


@pytest.fixture(scope="module")
def shown(trained, tmp_path_factory):
    """The command, run once on the checkpoint before the last."""
    out = tmp_path_factory.mktemp("features") / "new" / "features.png"
    tables, printed, grid = [], io.StringIO(), grids.grid

    def watched(rows, titles, cell):
        tables.append((rows, titles))
        return grid(rows, titles, cell=cell)

    arguments = ["features", "--workdir", str(trained), "--split", "test", "--step", "4"]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(grids, "grid", watched)
        assert cli.main([*arguments, "--count", "3", "--out", str(out), "--json"]) == 0
    ((rows, titles),) = tables
    return Shown(printed.getvalue(), out, rows, titles)


def test_the_picture_has_a_row_for_each_pair_and_a_column_for_each_view(shown):
    blank = [[np.zeros((1, 1, 3), np.uint8)] * 14] * 3
    with Image.open(shown.out) as image:
        assert image.size == grids.grid(blank, shown.titles, cell=128).size


def test_what_stands_in_a_row(trained, shown):
    run = restoring.restore(trained, ["test"], step=4)
    split = run.data.split("test")
    (batch,) = pipeline.evaluation_batches(split, gallery.gallery_pairs(split, 0, 3), 4)
    outputs = (
        jax.jit(lambda v, b: run.system.forward(v, b, evaluation_context())[0])
        .lower(run.averages, batch)
        .compile({"xla_backend_optimization_level": 0})
    )(run.averages, batch)
    for i, row in enumerate(shown.rows):
        cells = dict(zip(shown.titles, row, strict=True))
        for title, images in (
            ("source", batch["source_image"]),
            ("generated", outputs["image"]),
            ("truth", batch["target_image"]),
        ):
            wanted = conventions.to_uint8(np.asarray(images[i])).astype(int)
            assert np.abs(cells[title] - wanted).max() <= 1, title
        # These people stand in the two inner ones of four layers.
        assert (cells["from inner layers only"] == cells["generated"]).all()
        assert (cells["from outer layers only"] != cells["generated"]).any()
        parts = volume_views.part_views(np.asarray(outputs["masks"][i]))
        for view in volume_views.VIEWS:
            square = cells[f"parts: {view}"]
            assert square.shape == (128, 128, 3)
            labels = draw.PART_COLOURS[parts[view]]
            # The corners and the middle of a stretched view are those of the view.
            height, width = parts[view].shape
            assert (square[:: 128 // height, :: 128 // width] == labels).all()
        for when, volume in (("before", outputs["volume"]), ("after", outputs["warped"])):
            found = volume_views.volume_views(np.asarray(volume[i]))
            brightest = max(view.max() for view in found.values())
            for view in volume_views.VIEWS:
                square = cells[f"{when} the warp: {view}"].astype(int)
                height, width = found[view].shape
                wanted = draw.heat_image(found[view] / brightest).astype(int)
                assert np.abs(square[:: 128 // height, :: 128 // width] - wanted).max() <= 3


def test_the_report(shown):
    assert shown.printed.count("\n") == 1
    report = json.loads(shown.printed)
    assert json.dumps(report, allow_nan=False)
    about = {"picture": str(shown.out), "split": "test", "step": 4}
    about |= {"layers": 4, "inner_layers": [1, 2]}
    assert {key: report[key] for key in about} == about
    assert len(report["pairs"]) == 3
    for row in [*report["pairs"], report["mean"]]:
        assert set(row) == {"silhouette", "depth", "correlation", "l1"}
        for share in row["silhouette"].values():
            assert 0 < share["inside"] <= 1
            assert 0 < share["area"] < 1
        for place in row["depth"].values():
            assert 0 < place["centre"] < 1
            assert 0 <= place["width"] <= 0.5
        assert row["l1"]["inner"] == 0 < row["l1"]["outer"]
    # Outside of the parts nothing is left.
    share = report["mean"]["silhouette"]["after"]
    assert share["inside"] > 1.5 * share["area"]
    for key in ("centre", "width"):
        found = [
            [row["depth"][name][key] for row in report["pairs"]] for name in ("parts", "before")
        ]
        assert report["across_pairs"][key] == pytest.approx(np.corrcoef(found)[0, 1])


def test_without_json_there_are_sentences(shown):
    report = json.loads(shown.printed)
    inside = report["mean"]["silhouette"]["before"]["inside"]
    report["mean"]["correlation"]["side"] = {"own": 0.123, "others": None}
    lines = volume_features.summary(report).splitlines()
    assert len(lines) == 6
    assert lines[0] == f"{shown.out}: 3 pairs of test, step 4"
    assert lines[1].startswith(f"front view before the warp: {inside:.0%} inside the person, ")
    assert "correlation 0.12 with the person's parts, unknown with those" in lines[3]


def test_the_picture_goes_to_the_workdir_unless_told_otherwise(capsys, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(volume_features, "draw_features", lambda *a, **k: asked.append((a, k)))
    monkeypatch.setattr(volume_features, "summary", lambda report: "said")
    assert cli.main(["features", "--workdir", str(tmp_path), "--step", "best"]) == 0
    assert capsys.readouterr().out == "said\n"
    options = {"split_name": "validation", "step": "best", "count": 4}
    assert asked == [((tmp_path,), {**options, "data_dir": None, "out": None})]


# --- what cannot be ------------------------------------------------------------------------------


def _claim(folder, config, identity, **changes):
    record = {**config_to_dict(config), **changes}
    run_record.claim_workdir(folder, record, identity)
    return folder


def test_a_system_without_a_volume(smoke_config, tiny, tmp_path):
    config = load_config(
        "configs/resnet2d.py:smoke", [f"--config.data.dir={smoke_config.data.dir}"]
    )
    folder = _claim(tmp_path / "run", config, tiny.identity)
    with pytest.raises(
        UserError, match=r"is a run of 'resnet2d', which has no volume .*, such as volumetric\."
    ):
        volume_features.draw_features(folder, "test")


def test_a_run_without_a_checkpoint(smoke_config, tiny, tmp_path):
    folder = _claim(tmp_path / "run", smoke_config, tiny.identity)
    with pytest.raises(UserError, match="has no checkpoint yet"):
        volume_features.draw_features(folder, "test")
    with pytest.raises(UserError, match="holds no run"):
        volume_features.draw_features(tmp_path, "test")


def test_a_step_or_split_that_is_not_there(trained):
    with pytest.raises(UserError, match=r"no checkpoint 5; there are \[2, 4, 6\]"):
        volume_features.draw_features(trained, "test", step=5)
    with pytest.raises(UserError, match="no split 'tset'; did you mean 'test'"):
        volume_features.draw_features(trained, "tset")


def test_no_pairs_or_no_png(trained, tmp_path):
    with pytest.raises(UserError, match="--count must be at least 1, got 0"):
        volume_features.draw_features(trained, "test", count=0)
    with pytest.raises(UserError, match=r"must end in \.png, got .*features\.jpg"):
        volume_features.draw_features(trained, "test", out=tmp_path / "features.jpg")


def test_a_picture_that_cannot_be_written(trained, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        UserError, match=r"cannot write the picture to .*features\.png: File exists"
    ):
        volume_features.draw_features(
            trained, "test", count=1, out=tmp_path / "file" / "features.png"
        )


def test_a_volume_too_shallow_for_halves():
    batch = fake.batch(1, 16)
    variables, probe = _linear(batch, layers=2)
    with pytest.raises(UserError, match="a volume of 2 layers has no inner and outer ones"):
        probe(variables, batch)
