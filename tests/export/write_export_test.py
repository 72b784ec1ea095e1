"""Exported models: what is in the folder, that it says what the run says, and what is refused."""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

import doc_blocks
import exported_runs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

import volsynth
from volsynth import cli, systems
from volsynth.config import config_from_dict, config_to_dict, load_config
from volsynth.data import fake
from volsynth.errors import UserError
from volsynth.export import card, forward, write
from volsynth.pretrained import weights
from volsynth.runs import restoring, training
from volsynth.train import manifest, run_record

# Its forward pass compiles fastest of those that make images.
IMAGE = "configs/deformable.py:smoke"
ROOT = pathlib.Path(__file__).parents[2]


def made_by_the_run(workdir, batch):
    """What the run itself makes of a batch, as evaluation does it."""
    config = config_from_dict(run_record.read_run(workdir)["config"])
    system = systems.make(config)
    _, averages = restoring.restore_averages(system, config, workdir)
    return jax.tree.map(np.asarray, restoring.predictor(system)(averages, batch))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of the pose estimator, whose networks compile fastest."""
    return exported_runs.write(tmp_path_factory.mktemp("run") / "run", exported_runs.POSE)


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    """That run, exported."""
    out = tmp_path_factory.mktemp("out") / "model"
    write.export(run, out)
    return out


@pytest.fixture(scope="module")
def image_run(tmp_path_factory):
    return exported_runs.write(tmp_path_factory.mktemp("run") / "run", IMAGE)


@pytest.fixture(scope="module")
def image_folder(image_run, tmp_path_factory):
    """What makes images, exported into a folder that holds nothing else."""
    out = tmp_path_factory.mktemp("alone") / "model"
    write.export(image_run, out)
    return out


@pytest.fixture(scope="module")
def image_wanted(image_run):
    return made_by_the_run(image_run, fake.batch(2, 32))


# --- what it makes -------------------------------------------------------------------------------


@pytest.mark.parametrize("program", [True, False])
def test_program_and_code_find_the_poses_that_the_run_finds(run, folder, program):
    batch = fake.batch(3, 32)
    model = volsynth.load(folder, program)
    assert model.is_program == program
    wanted = made_by_the_run(run, batch)
    assert np.ptp(wanted["joints_mm"]) > 1
    exported_runs.assert_same(model.predict(batch), wanted)
    exported_runs.assert_same(model(batch["target_image"]), wanted)


def test_any_batch_size_will_do(folder):
    model = volsynth.load(folder)
    assert model.is_program
    image = fake.batch(4, 32)["target_image"]
    alone = model(image[:1])
    assert alone["joints_px"].shape == (1, 15, 2)
    np.testing.assert_allclose(alone["joints_px"], model(image)["joints_px"][:1], atol=1e-3)


FRESH = """
import sys
import numpy as np
import volsynth

given = dict(np.load(sys.argv[1]))
model = volsynth.load("model", program=True)
poses = [(given[f"{role}_joints"], given[f"{role}_visible"]) for role in ("source", "target")]
image = model(given["source_image"], *poses)
assert not {"volsynth.systems", "volsynth.nn.layers", "flax"} & set(sys.modules)
np.save(sys.argv[2], image)
"""


def alone(folder, program, *arguments, package=ROOT):
    """Runs a program in a process of its own, in a folder with the exported model and no more."""
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": str(package)},
        check=True,
    )


def test_a_fresh_process_makes_the_same_image_without_the_networks_code(
    image_folder, image_wanted, tmp_path
):
    np.savez(tmp_path / "given.npz", **fake.batch(2, 32))
    alone(image_folder, FRESH, tmp_path / "given.npz", tmp_path / "made.npy")
    assert np.ptp(image_wanted) > 0.1
    exported_runs.assert_same(np.load(tmp_path / "made.npy"), image_wanted)


@pytest.mark.slow
def test_the_installed_package_makes_the_same_image(image_folder, image_wanted, tmp_path):
    # A copy, as building leaves files beside the sources.
    for name in ("volsynth", "data_prep", "launch"):
        shutil.copytree(ROOT / name, tmp_path / "source" / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / "source")
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site)]
    subprocess.run([*pip, str(tmp_path / "source")], check=True)
    np.savez(tmp_path / "given.npz", **fake.batch(2, 32))
    program = FRESH + "assert volsynth.__file__.startswith(sys.argv[3])\n"
    given = (tmp_path / "given.npz", tmp_path / "made.npy", site)
    alone(image_folder, program, *given, package=site)
    exported_runs.assert_same(np.load(tmp_path / "made.npy"), image_wanted)


def test_the_example_of_the_documentation_runs(image_folder, image_wanted, tmp_path):
    text = (ROOT / "docs" / "export.md").read_text()
    (example,) = doc_blocks.blocks(text)
    example = example.code.replace("runs/demo-model", "model")
    alone(image_folder, example + "\nassert images.shape == (2, 32, 32, 3)\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    "spec",
    [
        "volumetric.py:smoke",
        "volumetric.py:smoke,both_2d,offcut,pose_1e0",
        "resnet2d.py:smoke",
        "deformable.py:smoke",
        "pose_estimator.py:smoke",
    ],
)
def test_every_system_once_trained_is_the_same_by_program_and_by_code(spec, data_dir, tmp_path):
    config = load_config(f"configs/{spec}", [f"--config.data.dir={data_dir}"])
    training.train(config, tmp_path / "run")
    write.export(tmp_path / "run", tmp_path / "model")
    for count, batch in ((1, fake.batch(1, 32, seed=1)), (3, fake.batch(3, 32, seed=2))):
        wanted = made_by_the_run(tmp_path / "run", batch)
        for program in (True, False):
            model = volsynth.load(tmp_path / "model", program)
            made = model.predict(batch)
            assert len(jax.tree.leaves(made)[0]) == count
            exported_runs.assert_same(made, wanted)


# --- what it takes -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["volumetric", "resnet2d", "deformable"])
def test_images_are_made_of_one_image_and_two_poses(name):
    system = systems.make(load_config(f"configs/{name}.py:smoke"))
    assert forward.used_inputs(system, 32) == (
        "source_image",
        *("source_joints", "source_visible", "target_joints", "target_visible"),
    )


def test_poses_are_found_in_one_image():
    system = systems.make(load_config(exported_runs.POSE))
    assert forward.used_inputs(system, 32) == ("target_image",)


def test_a_field_that_is_not_used_is_not_asked_for():
    def run(variables, batch, context):
        del variables, context
        unused = jnp.sum(batch["target_image"]) + batch["source_joints"]
        return {"image": batch["source_image"] * 2, "unused": unused}, {}

    system = dataclasses.replace(systems.make(load_config(IMAGE)), forward=run)
    assert forward.used_inputs(system, 32) == ("source_image",)


# --- what is in the folder -----------------------------------------------------------------------


def test_the_folder_has_these_files_and_their_digests(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("README.md", "card.json", "config.json", "manifest.json"),
        *("parameters.safetensors", "program.stablehlo"),
    }
    listed = json.loads((folder / "manifest.json").read_text().rsplit("\n", 2)[0])["files"]
    assert listed == {
        name: [len(contents), hashlib.sha256(contents).hexdigest()]
        for name in names - {"manifest.json"}
        for contents in [(folder / name).read_bytes()]
    }


def test_parameters_are_the_averages_under_their_paths(run, folder):
    config = load_config(exported_runs.POSE)
    _, averages = restoring.restore_averages(systems.make(config), config, run)
    found = safetensors.numpy.load_file(folder / "parameters.safetensors")
    assert "estimator/backbone/stem/kernel" in found
    assert len(found) == len(jax.tree.leaves(averages))
    for name, value in found.items():
        network, *keys = name.split("/")
        there = averages[network]["params"]
        for key in keys:
            there = there[key]
        np.testing.assert_array_equal(value, there)


def test_the_card_says_where_the_model_comes_from(folder):
    about = volsynth.load(folder).card
    assert about["system"] == "pose_estimator"
    assert about["step"] == about["trained_on"]["steps"] == 3
    assert about["trained_on"]["identity"] == "tiny:0123"
    assert about["keypoints"]["joints"][0] == "head_top"
    assert len(about["keypoints"]["joints"]) == 15
    assert about["inputs"]["target_image"]["shape"] == ["B", 32, 32, 3]
    assert list(about["outputs"]) == ["joints_mm", "joints_px"]
    assert about["parameters"]["total"] == 2371
    assert about["platforms"] == ["cpu", "cuda", "tpu"]
    assert about["licence"] == "Apache-2.0"
    assert about["notes"] == {"features": "none"}
    assert about["exported_with"]["volsynth"] == volsynth.__version__
    assert about["evaluation"] is None
    text = (folder / "README.md").read_text()
    assert "# pose_estimator, step 3\n" in text
    assert "None were computed" in text
    assert "2,371 averaged parameters" in text


def test_nothing_names_a_path_of_this_machine(tmp_path):
    run = exported_runs.write(
        tmp_path / "run", exported_runs.POSE, "data.dir=/secret/data", "data.name=deepfashion"
    )
    write.export(run, tmp_path / "model")
    for path in (tmp_path / "model").iterdir():
        contents = path.read_bytes()
        for secret in (b"secret", bytes(ROOT), bytes(tmp_path)):
            assert secret not in contents, path
    model = volsynth.load(tmp_path / "model")
    assert model.config.data.dir == "data"
    assert model.card["licence"].startswith("not stated")


def test_a_file_of_features_is_neither_needed_nor_named():
    values = config_to_dict(load_config("configs/volumetric.py:smoke"))
    values["loss"] |= {"features": "/secret/vgg19.safetensors", "nearest_neighbour": 1.0}
    system = systems.make(config_from_dict(values))
    assert "/secret" in str(system.notes)
    found = config_from_dict(write.portable(values, system.file_keys))
    assert "/secret" not in f"{found} {systems.make(found).notes}"
    assert values["loss"]["features"] == "/secret/vgg19.safetensors"


def test_a_licence_is_written_as_given(run, tmp_path):
    write.export(run, tmp_path / "model", licence="CC-BY-4.0")
    assert volsynth.load(tmp_path / "model").card["licence"] == "CC-BY-4.0"
    assert "## Licence\n\nCC-BY-4.0\n" in (tmp_path / "model" / "README.md").read_text()


def test_scores_of_that_step_are_in_the_card_and_others_are_not(run, tmp_path, capsys):
    copy = shutil.copytree(run, tmp_path / "run")
    scores = {
        "label": "estimated",
        "metrics": {"mpjpe": 55.5},
        "baselines": {"mean_pose": {"mpjpe": 99.0}},
        "protocol": {"data": "posed_people/tiny 1.0.0", "split": "test", "images": 16},
        "step": 3,
        "gallery": "/secret/gallery.png",
    }
    (copy / "evaluate-test").mkdir()
    (copy / "evaluate-test" / "results.json").write_text(json.dumps(scores))
    report = write.export(copy, tmp_path / "model")
    assert report["scores"] == {"mpjpe": 55.5}
    del scores["gallery"]
    assert volsynth.load(tmp_path / "model").card["evaluation"] == scores
    text = (tmp_path / "model" / "README.md").read_text()
    assert "16 images of the split test of posed_people/tiny 1.0.0" in text
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert ["mpjpe", "55.50", "99.00"] in lines
    assert capsys.readouterr().err == ""
    (copy / "evaluate-test" / "results.json").write_text(json.dumps({**scores, "step": 2}))
    assert write.export(copy, tmp_path / "model")["scores"] is None
    assert "the scores on test are of step 2, not 3" in capsys.readouterr().err
    assert write.export(copy, tmp_path / "model", split="validation")["scores"] is None
    error = capsys.readouterr().err
    assert f"{copy} has no scores on validation: the card says none." in error
    assert f"volsynth evaluate --workdir {copy} --split validation\n" in error


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


def test_a_card_of_several_data_sets_names_them(run):
    record = json.loads((run / "run.json").read_text())
    record["config"]["data"]["also"] = {"deepfashion/64": 0.25}
    config = config_from_dict(record["config"])
    system = systems.make(config)
    about = card.make_card(run, record, config, system, 3, "test", None, ("target_image",), {})
    assert about["licence"].startswith("not stated")
    text = card.readme(about)
    assert "posed_people/tiny, deepfashion/64 (0.25 of the samples), identity" in text


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


def test_what_cannot_be_exported(run, tmp_path):
    with pytest.raises(UserError, match=r"no checkpoint 7; there are \[3\]"):
        write.export(run, tmp_path / "model", step=7)
    with pytest.raises(UserError, match="holds no run"):
        write.export(tmp_path, tmp_path / "model")
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


def test_importing_the_package_imports_no_jax():
    program = "import sys, volsynth; assert not {'jax', 'numpy', 'flax'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ)
    assert volsynth.load.__doc__
