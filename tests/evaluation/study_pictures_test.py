"""A run's pictures as a folder that a study reads."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from volsynth import cli, conventions, tasks
from volsynth.data import pipeline
from volsynth.errors import UserError
from volsynth.evaluation import evaluate, study_pictures
from volsynth.runs import restoring
from volsynth.study import comparison, folders
from volsynth.tasks import gallery


@pytest.fixture(scope="module")
def collected(trained, tmp_path_factory):
    """A folder of five pictures, and what was said of it."""
    out = tmp_path_factory.mktemp("study") / "whole"
    evaluate.evaluate_run(trained, "test", options=evaluate.Options(gallery=0))
    return out, study_pictures.collect(trained, out, 5)


def test_a_run_becomes_a_folder_of_a_study(collected, tiny):
    out, report = collected
    expected = {"method": "whole", "items": 5, "split": "test", "step": 6, "scores": True}
    assert report == {"out": str(out), **expected}
    folder = folders.read(out)
    split = tiny.split("test")
    pairs = gallery.gallery_pairs(split, 0, 5)
    (batch,) = pipeline.evaluation_batches(split, pairs, 5)
    names = [f"test-{source:06}-{target:06}" for source, target in pairs]
    assert list(folder.items) == names
    for i, item in enumerate(folder.items.values()):
        np.testing.assert_allclose(item.joints, batch["target_joints_mm"][i], atol=0.006)
        with Image.open(item.source) as source:
            expected = conventions.to_uint8(batch["source_image"][i])
            np.testing.assert_array_equal(np.asarray(source), expected)
        with Image.open(item.generated) as generated:
            assert generated.size == (32, 32)


def test_pictures_are_what_the_run_makes(collected, trained):
    out, _ = collected
    run = restoring.restore(trained, ("test",))
    pairs = gallery.gallery_pairs(run.data.split("test"), 0, 5)
    (batch,) = pipeline.evaluation_batches(run.data.split("test"), pairs, 5)
    expected = conventions.to_uint8(
        np.asarray(restoring.predictor(run.system)(run.averages, batch))
    )
    for image, item in zip(expected, folders.read(out).items.values()):
        with Image.open(item.generated) as generated:
            # Batches of another size may round differently.
            difference = np.asarray(generated).astype(int) - image
        assert np.abs(difference).max() <= 1


def test_two_runs_have_the_same_items(collected, trained, tmp_path):
    study_pictures.collect(trained, tmp_path / "again", 4, step=4, method="earlier")
    said = []
    study = comparison.open_study([collected[0], tmp_path / "again"], said.append)
    assert study.methods == ("earlier", "whole")
    assert len(study.items) == 4
    assert said == ["whole: 1 of 5 items are not in every folder: left out."]
    # Evaluated was another step.
    assert not (tmp_path / "again" / "results.json").exists()
    assert json.loads((collected[0] / "results.json").read_text())["step"] == 6


def test_the_command_makes_as_many_as_there_are(trained, tmp_path, capsys):
    arguments = ["study", "collect", "--workdir", str(trained), "--out", str(tmp_path / "out")]
    assert cli.main([*arguments, "--count", "500", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["items"] == 16


def test_the_command_says_what_it_made(monkeypatch, capsys):
    given = []

    def made(*options):
        given.append(options)
        return {"out": "there", "items": 2, "method": "early", "scores": False}

    monkeypatch.setattr(study_pictures, "collect", made)
    options = ["--count", "2", "--step", "2", "--method", "early", "--split", "train"]
    assert cli.main(["study", "collect", "--workdir", "W", "--out", "there", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "there: 2 pictures of early",
        "without scores: volsynth evaluate, and copy its results.json there",
    ]
    expected = (pathlib.Path("W"), pathlib.Path("there"), 2, "train", 2, "early", None)
    assert given == [expected]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "--count must be at least 1, got 0"),
        ({"method": "a/b"}, "--method: \"method\" must be a name of .*, got 'a/b'"),
        ({"step": 5}, "has no checkpoint 5"),
        ({"split_name": "tets"}, "no split 'tets'"),
        ({"workdir": pathlib.Path("nowhere")}, "nowhere"),
    ],
)
def test_what_cannot_be_collected(trained, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        study_pictures.collect(**{"workdir": trained, "out": tmp_path / "out", **options})
    # Nor is there a folder with nothing in it.
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_taken_or_none(collected, trained, tmp_path):
    out, _ = collected
    before = (out / "study.json").read_bytes()
    with pytest.raises(UserError, match="holds a study's pictures already"):
        study_pictures.collect(trained, out, 1)
    assert (out / "study.json").read_bytes() == before
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write pictures to .*file"):
        study_pictures.collect(trained, tmp_path / "file", 1)


def test_a_system_without_pictures(trained, tmp_path, monkeypatch):
    monkeypatch.setitem(tasks.TASKS, "image", tasks.TASKS["pose"])
    with pytest.raises(UserError, match="is a run of 'volumetric', which makes no pictures"):
        study_pictures.collect(trained, tmp_path / "out", 1)
    assert not (tmp_path / "out").exists()
