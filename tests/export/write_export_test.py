"""Writing exported models: where they may go, what is refused, and the command."""

import json
import os
import pathlib
import shutil

import numpy as np
import pytest

import volsynth
from volsynth import cli
from volsynth.errors import UserError
from volsynth.export import forward, write
from volsynth.pretrained import weights
from volsynth.train import manifest

# --- where it goes -------------------------------------------------------------------------------


def test_an_exported_model_is_replaced_and_other_folders_are_not(run, folder, tmp_path):
    out = tmp_path / "model"
    out.mkdir()
    write.export(run, out)
    (out / "config.json").write_text("{}")
    write.export(run, out)
    assert volsynth.load(out).card["step"] == 3
    (out / "mine.txt").write_text("mine")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(UserError, match=r"holds something that is no exported model.*--force"):
        write.export(run, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    write.export(run, out, force=True)
    assert {path.name for path in out.iterdir()} == {path.name for path in folder.iterdir()}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_manifest_of_something_else_is_no_exported_model(run, tmp_path):
    for about in ({"step": 1}, {}):
        manifest.write(tmp_path, about)
        with pytest.raises(UserError, match="no exported model"):
            write.export(run, tmp_path)
    (tmp_path / manifest.NAME).write_text("{}")
    with pytest.raises(UserError, match="no exported model"):
        write.export(run, tmp_path)


def test_folders_that_hold_what_must_stay(run, tmp_path, monkeypatch):
    for out in (run, run.parent):
        with pytest.raises(UserError, match="holds the workdir"):
            write.export(run, out, force=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="holds the working directory"):
        write.export(run, pathlib.Path(), force=True)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file"):
        write.export(run, tmp_path / "file", force=True)
    with pytest.raises(UserError, match=r"cannot write the model to .*: Not a directory"):
        write.export(run, tmp_path / "file" / "model")


def test_an_export_that_fails_leaves_everything_as_it_was(run, folder, tmp_path, monkeypatch):
    out = shutil.copytree(folder, tmp_path / "model")
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    for target, name in ((weights, "save"), (write.manifest, "write"), (os, "rename")):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, full)
            with pytest.raises(UserError, match=r"cannot write the model to .*: No space left"):
                write.export(run, out)
        assert {path.name: path.read_bytes() for path in out.iterdir()} == before
        assert [path.name for path in tmp_path.iterdir()] == ["model"]
    real = os.rename

    def second_fails(old, new):
        if new == out and ".tmp" in str(old):
            full()
        real(old, new)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(UserError, match="No space left"):
        write.export(run, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


# --- what cannot be exported ---------------------------------------------------------------------


def test_what_cannot_be_exported(run, tmp_path):
    with pytest.raises(UserError, match=r"no checkpoint 7; there are \[3\]"):
        write.export(run, tmp_path / "model", step=7)
    with pytest.raises(UserError, match="holds no run"):
        write.export(tmp_path, tmp_path / "model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("licence", ["", " ", "MIT\n# And more"])
def test_a_licence_that_is_no_line(run, tmp_path, licence):
    with pytest.raises(UserError, match="--licence must be one line of text"):
        write.export(run, tmp_path / "model", licence=licence)


def test_a_run_that_diverged_is_not_exported(run, tmp_path, monkeypatch):
    real = forward.by_name

    def broken(averages):
        values = {k: np.array(v) for k, v in real(averages).items()}
        values[next(iter(values))].flat[-1] = np.inf
        return values

    monkeypatch.setattr(forward, "by_name", broken)
    with pytest.raises(UserError, match="step 3 holds weights that are not finite, such as estim"):
        write.export(run, tmp_path / "model")
    assert not list(tmp_path.iterdir())


# --- the command ---------------------------------------------------------------------------------


def test_the_command_prints_what_it_wrote(run, tmp_path, capsys):
    command = ["export", "--workdir", str(run), "--out", str(tmp_path / "model")]
    assert cli.main([*command, "--json", "--step", "3"]) == 0
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert "has no scores on test" in err
    assert out.count("\n") == 1
    report = json.loads(out)
    assert report["model"] == str(tmp_path / "model")
    assert report["files"] == {p.name: p.stat().st_size for p in (tmp_path / "model").iterdir()}
    assert (report["inputs"], report["step"]) == (["target_image"], 3)
    assert cli.main(command) == 0
    out, _ = capsys.readouterr()
    assert "pose_estimator, step 3, 2,371 parameters, 32 pixels" in out
    assert "takes target_image" in out
    assert "scores in the card: none" in out
    assert cli.main(["export", "--workdir", str(tmp_path), "--out", "x"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
