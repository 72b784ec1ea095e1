"""Exported models make what their runs make, by program and by code, in any process."""

import os
import shutil
import subprocess
import sys

import doc_blocks
import exported_runs
import jax
import numpy as np
import pytest
from exported_runs import ROOT

import volsynth
from volsynth import systems
from volsynth.config import config_from_dict, load_config
from volsynth.data import fake
from volsynth.export import write
from volsynth.runs import restoring, training
from volsynth.train import run_record


def made_by_the_run(workdir, batch):
    """The outputs of the run itself for a batch, made as evaluation makes them."""
    config = config_from_dict(run_record.read_run(workdir)["config"])
    system = systems.make(config)
    _, averages = restoring.restore_averages(system, config, workdir)
    return jax.tree.map(np.asarray, restoring.predictor(system)(averages, batch))


@pytest.fixture(scope="module")
def image_run(tmp_path_factory):
    return exported_runs.write(tmp_path_factory.mktemp("run") / "run", exported_runs.IMAGE)


@pytest.fixture(scope="module")
def image_folder(image_run, tmp_path_factory):
    """The run that makes images, exported into a folder that holds nothing else."""
    out = tmp_path_factory.mktemp("alone") / "model"
    write.export(image_run, out)
    return out


@pytest.fixture(scope="module")
def image_wanted(image_run):
    return made_by_the_run(image_run, fake.batch(2, 32))


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


def test_importing_the_package_imports_no_jax():
    program = "import sys, volsynth; assert not {'jax', 'numpy', 'flax'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ)
    assert volsynth.load.__doc__
