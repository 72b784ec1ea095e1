"""`volsynth evaluate` of runs and of folders of pictures, from the workdir to the galleries."""

import csv
import json
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from volsynth import cli
from volsynth.data import decoding, pairing
from volsynth.errors import UserError
from volsynth.evaluation import evaluate, picture_folders, score_split
from volsynth.results import result_files, tables
from volsynth.results.protocol import Protocol, sha256_of_pairs
from volsynth.train import manifest

NO_PICTURES = evaluate.Options(gallery=0)


@pytest.fixture(scope="module")
def scored(trained, tmp_path_factory):
    """The results of the smoke run, with everything that was generated kept as PNG."""
    folder = tmp_path_factory.mktemp("scored")
    options = evaluate.Options(gallery=6, save_images=folder / "pictures")
    return evaluate.evaluate_run(trained, "test", out=folder / "out", options=options), folder


def width_of(path):
    with Image.open(path) as image:
        return image.width


# --- runs ----------------------------------------------------------------------------------------


def test_evaluation_scores_the_whole_split_beside_baselines(scored, tiny):
    found, folder = scored
    assert found["protocol"]["images"] == tiny.manifest["splits"]["test"]["records"]
    assert found["step"] == 6
    rows = tables.score_rows(found)
    assert set(rows) == {"generated", "source_unchanged", "mean_training_image", "truth"}
    for row, values in rows.items():
        assert {"ssim", "foreground_l1", "occluded_l1", "colour_wasserstein"} < set(values)
        assert all(np.isfinite(v) for v in values.values())
        for name, bounds in found["intervals"][row].items():
            mean = values.get(name, found["details"][row].get(name))
            assert bounds[0] - 1e-9 <= mean <= bounds[1] + 1e-9, name
    assert rows["truth"]["ssim"] == pytest.approx(1, abs=1e-5)
    assert rows["truth"]["foreground_l1"] == 0
    assert rows["truth"]["colour_wasserstein"] == pytest.approx(0, abs=1e-4)
    assert "ssim_pose_gan" in found["details"]["generated"]
    assert "ssim_gfla" not in found["details"]["generated"], "its window is larger than 32 pixels"
    assert json.loads((folder / "out" / "results.json").read_text()) == found
    text = (folder / "out" / "results.md").read_text()
    assert "| ssim ↑ " in text
    assert found["protocol"]["digest"] in text
    galleries = found["galleries"]
    assert width_of(galleries["gallery"]) > 8 * 128
    assert galleries["sorted_by"] == "foreground_l1"
    assert width_of(galleries["worst"]) < 6 * 128


def test_the_protocol_says_what_the_scores_depend_on(scored, tiny):
    protocol = scored[0]["protocol"]
    pairs = pairing.evaluation_pairs(tiny.split("test"), 0)
    assert protocol["pairs_sha256"] == sha256_of_pairs(pairs)
    assert protocol["data_identity"] == tiny.identity
    assert (protocol["split"], protocol["image_size"]) == ("test", 32)
    assert (protocol["file_format"], protocol["resize"]) == (evaluate.AS_MADE, None)
    names = {*scored[0]["metrics"], *scored[0]["details"]["generated"]}
    assert names < set(protocol["scores"])
    assert Protocol.from_json(protocol).to_json() == protocol


def test_every_picture_has_its_line_of_scores_and_its_place_in_the_galleries(scored):
    found, folder = scored
    with open(folder / "out" / "images.csv") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == found["protocol"]["images"]
    for name, mean in found["metrics"].items():
        values = [float(line[name]) for line in lines if line[name]]
        assert np.mean(values) == pytest.approx(mean, rel=1e-12)
        assert len(values) == found["images"][name]
    assert {line["person"] for line in lines} == {"p8000", "p8001"}
    assert {f"{line['file']}.png" for line in lines} == {
        path.name for path in (folder / "pictures").iterdir()
    }


def _mean_scores(results, row="generated"):
    details = results["details"][row]
    return {**results["metrics"], **details} if row == "generated" else details


@pytest.mark.parametrize("batch_size", [3, pytest.param(7, marks=pytest.mark.slow)])
def test_scores_depend_neither_on_the_batch_nor_on_padding_nor_on_devices(
    scored, trained, tmp_path, monkeypatch, batch_size
):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    record = json.loads((folder / "run.json").read_text())
    record["config"]["evaluate"]["batch_size"] = batch_size
    (folder / "run.json").write_text(json.dumps(record))
    if batch_size == 7:
        one = jax.local_devices()[:1]
        monkeypatch.setattr(jax, "local_devices", lambda: one)
    else:
        assert len(jax.local_devices()) == 2
    other = evaluate.evaluate_run(folder, "test", options=NO_PICTURES)
    for name, value in _mean_scores(scored[0]).items():
        scale = 255 if "wasserstein" in name else 1
        assert _mean_scores(other)[name] == pytest.approx(value, abs=1e-6 * scale, rel=1e-6), name
    assert other["protocol"] == scored[0]["protocol"]


@pytest.mark.slow
def test_the_set_as_a_whole_on_the_built_in_features(trained, tmp_path):
    options = evaluate.Options(gallery=0, builtin_features=True)
    found = evaluate.evaluate_run(trained, "test", out=tmp_path, options=options)
    assert found["baselines"]["truth"]["frechet_builtin"] == pytest.approx(0, abs=1e-6)
    assert found["metrics"]["frechet_builtin"] > 0
    assert found["metrics"]["diversity_builtin"] >= 1
    assert "frechet_builtin" not in found["intervals"]["generated"]


def test_what_was_computed_stays_when_drawing_fails(trained, tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(score_split.draw, "save_png", broken)
    with pytest.raises(UserError, match=r"cannot write results to .*: No space left on device"):
        evaluate.evaluate_run(trained, "test", out=tmp_path, options=evaluate.Options(gallery=2))
    found = result_files.read(tmp_path)
    assert found["step"] == 6
    assert len(result_files.read_images(tmp_path, found)) == found["protocol"]["images"]


def test_scores_of_pictures_belong_to_their_results(scored, tmp_path):
    found, folder = scored
    for name in ("results.json", "images.csv"):
        shutil.copy(folder / "out" / name, tmp_path)
    assert result_files.read_images(tmp_path, found)
    text = (tmp_path / "images.csv").read_text()
    (tmp_path / "images.csv").write_text(text.replace("p8000", "p8001", 1))
    with pytest.raises(UserError, match=r"images\.csv is not of results\.json beside it"):
        result_files.read_images(tmp_path, found)
    (tmp_path / "images.csv").unlink()
    assert result_files.read_images(tmp_path, found) is None
    (tmp_path / "images.csv").mkdir()
    with pytest.raises(UserError, match=r"images\.csv cannot be read"):
        result_files.read_images(tmp_path, found)


def test_the_best_checkpoint_is_scored_on_request(trained, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    # As if the run had been told to keep the best: what is free may be told later, too.
    record = json.loads((folder / "run.json").read_text())
    record["config"]["train"]["best_by"] = "generator/l1"
    (folder / "run.json").write_text(json.dumps(record))
    for step, score in ((2, 0.3), (4, 0.1), (6, 0.2)):
        saved = folder / "checkpoints" / str(step)
        about = manifest.read(saved)
        manifest.write(saved, {**about, "metric": {"generator/l1": score}})
    assert evaluate.evaluate_run(folder, "test", step="best", options=NO_PICTURES)["step"] == 4


# --- folders of pictures -------------------------------------------------------------------------


def test_pictures_from_files_are_scored_as_those_of_the_run_to_rounding(scored, tiny, tmp_path):
    found, folder = scored
    other = evaluate.evaluate_images(folder / "pictures", tiny, "test", tmp_path / "out")
    assert other["protocol"]["file_format"] == "PNG, 8 bits"
    assert other["code"]["version"]
    assert other["step"] is None
    for name, value in found["metrics"].items():
        scale = 255 if "wasserstein" in name else 1
        assert other["metrics"][name] == pytest.approx(value, abs=6e-3 * scale), name
    for row, values in found["baselines"].items():
        assert other["baselines"][row] == pytest.approx(values, abs=1e-5), row
    different = Protocol.from_json(found["protocol"]).differences(
        Protocol.from_json(other["protocol"])
    )
    assert different == ["file_format"]
    assert width_of(other["galleries"]["gallery"]) > 8 * 128


def test_the_true_pictures_as_files_get_the_best_scores(tiny, data_dir, tmp_path, capsys):
    """The way of a user with another method: pairs written, pictures made, pictures scored."""
    data = ("--data-dir", str(data_dir), "--config-name", "tiny")
    assert cli.main(["data", "pairs", *data, "--out", str(tmp_path / "pairs")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "pairs" / "pairs.csv")
    made = tmp_path / "made"
    made.mkdir()
    with open(tmp_path / "pairs" / "pairs.csv") as file:
        for line in csv.DictReader(file):
            shutil.copy(tmp_path / "pairs" / line["target"], made / line["file"])
    command = ["evaluate", "--images", str(made), *data, "--gallery", "0", "--json"]
    assert cli.main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["metrics"]["l1"] == pytest.approx(0, abs=1e-6)
    assert found["metrics"]["ssim"] == pytest.approx(1, abs=1e-5)
    assert "galleries" not in found
    poses = json.loads((tmp_path / "pairs" / "poses.json").read_text())
    record = decoding.read_fields(tiny.split("test"), [3], ("joints_px", "visible"))
    np.testing.assert_allclose(poses["records"]["000003"]["joints_px"], record["joints_px"][0])


def test_pictures_of_another_size_are_resized_and_it_is_said(scored, tiny, tmp_path):
    folder = tmp_path / "large"
    folder.mkdir()
    for path in (scored[1] / "pictures").iterdir():
        with Image.open(path) as image:
            image.resize((48, 40), Image.Resampling.BICUBIC).save(folder / path.name)
    other = evaluate.evaluate_images(folder, tiny, "test", options=NO_PICTURES)
    assert other["protocol"]["resize"] == f"{picture_folders.RESIZE} from 48 x 40"
    assert (folder / "evaluate-test" / "results.json").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: sorted(f.iterdir())[2].unlink(), "lacks 1 of .* pictures, the first is 0"),
        (lambda f: sorted(f.iterdir())[0].write_bytes(b"no"), "cannot be read as a picture"),
        (
            lambda f: shutil.copy(
                sorted(f.iterdir())[0], sorted(f.iterdir())[0].with_suffix(".jpg")
            ),
            "has two pictures of one pair: ",
        ),
        (shutil.rmtree, "cannot read the folder .*: No such file"),
    ],
)
def test_a_folder_that_cannot_be_scored(scored, tiny, tmp_path, spoil, message):
    folder = tmp_path / "made"
    shutil.copytree(scored[1] / "pictures", folder)
    spoil(folder)
    with pytest.raises(UserError, match=message):
        evaluate.evaluate_images(folder, tiny, "test", tmp_path / "out", NO_PICTURES)
    assert not (tmp_path / "out" / "results.json").exists()
