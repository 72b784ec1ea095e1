"""Exit status 2 and one line on standard error for every error of a user."""

import jax
import jax.numpy as jnp
import pytest
from command_line import SMOKE, fails

from volsynth import cli, systems
from volsynth.config import config_to_dict
from volsynth.data import fake
from volsynth.runs import training
from volsynth.train import checkpoint, optim, run_record, state


@pytest.fixture
def claimed(smoke_config, tiny, tmp_path):
    """A workdir that the smoke config has claimed, without a checkpoint."""
    run_record.claim_workdir(tmp_path / "run", config_to_dict(smoke_config), tiny.identity)
    return tmp_path / "run"


@pytest.fixture
def with_checkpoint(claimed, smoke_config):
    """That workdir with a checkpoint in it, all zeros."""
    system = systems.make(smoke_config)
    spans = {"main": range(smoke_config.train.steps)}
    optimisers = optim.make(smoke_config.optim, system, spans)
    shapes = jax.eval_shape(
        state.initialiser(system, optimisers), jax.random.key(0), fake.spec(1, 32)
    )

    def zeros(leaf):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.key(0)
        return jnp.zeros(leaf.shape, leaf.dtype)

    with checkpoint.Checkpoints(claimed) as checkpoints:
        checkpoints.save(1, jax.tree.map(zeros, shapes))
    return claimed


def test_a_missing_data_set(capsys, tmp_path):
    workdir = tmp_path / "run"
    fails(
        capsys,
        f"python -m data_prep.posed_people --config tiny --data-dir {tmp_path}/nowhere",
        *("train", "--config", SMOKE, "--workdir", str(workdir)),
        f"--config.data.dir={tmp_path}/nowhere",
    )
    assert not workdir.exists()


@pytest.mark.parametrize("command", ["train", "describe"])
def test_a_misspelt_config_key(capsys, tmp_path, command):
    rest = ["--workdir", str(tmp_path)] if command == "train" else ["--json"]
    fails(
        capsys,
        "--config.model.dept=3: config.model has no key 'dept'; did you mean 'depth'?",
        *(command, "--config", SMOKE, "--config.model.dept=3", *rest),
    )


def test_a_misspelt_variant(capsys):
    message = "unknown variant 'smoek'; did you mean 'smoke'? Allowed: both_2d, "
    fails(capsys, message, "describe", "--config", "configs/volumetric.py:smoek")


def test_a_config_that_is_not_there(capsys):
    fails(
        capsys, "no config file volumetric. Config files in .", "describe", "--config", "volumetric"
    )


def test_a_config_whose_own_error_has_many_lines(capsys, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("raise ValueError('one\\ntwo')\n")
    fails(capsys, "fails: ValueError: one two", "describe", "--config", str(path))


def test_a_workdir_of_another_config(capsys, claimed, data_dir):
    before = (claimed / "run.json").read_bytes()
    fails(
        capsys,
        "holds a run of another config (model.depth: 4 there, 8 here)",
        *("train", "--config", SMOKE, "--workdir", str(claimed)),
        *(f"--config.data.dir={data_dir}", "--config.model.depth=8"),
    )
    assert (claimed / "run.json").read_bytes() == before


def test_a_damaged_workdir(capsys, claimed, data_dir):
    (claimed / "run.json").write_text("{")
    rest = ("--workdir", str(claimed))
    config = ("--config", SMOKE, f"--config.data.dir={data_dir}")
    fails(capsys, "run.json is damaged", "train", *config, *rest)
    fails(capsys, "run.json is damaged", "evaluate", *rest)


def test_evaluating_a_folder_without_a_run(capsys, tmp_path):
    fails(capsys, "holds no run (no run.json)", "evaluate", "--workdir", str(tmp_path))


def test_evaluating_a_run_without_a_checkpoint(capsys, claimed):
    fails(capsys, "has no checkpoint yet", "evaluate", "--workdir", str(claimed), "--json")


def test_evaluating_a_split_that_is_not_there(capsys, with_checkpoint):
    fails(
        capsys,
        "no split 'tset'; did you mean 'test'? Allowed: test, train, validation.",
        *("evaluate", "--workdir", str(with_checkpoint), "--split", "tset"),
    )


def test_evaluating_a_step_that_is_not_there(capsys, with_checkpoint):
    message = "has no checkpoint 3; there are [1]"
    fails(capsys, message, "evaluate", "--workdir", str(with_checkpoint), "--step", "3")


def test_evaluating_a_step_that_is_no_number(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["evaluate", "--workdir", "x", "--step", "bset"])
    assert "argument --step: must be a number or best, got 'bset'" in capsys.readouterr().err


def test_doctor_of_a_file(capsys, tmp_path):
    path = tmp_path / "file"
    path.touch()
    fails(capsys, str(path), "doctor", "--data-dir", str(path))


@pytest.mark.parametrize("command", [["evaluate", "--workdir", "x"], ["doctor"]])
def test_overrides_of_a_command_without_a_config(capsys, command):
    message = f"--config.seed=1: volsynth {command[0]} takes no config."
    fails(capsys, message, *command, "--config.seed=1")


@pytest.mark.parametrize(
    "arguments",
    [
        ["describe", "--config", SMOKE, "--jason"],
        ["doctor", "extra"],
        ["describe", "--config", SMOKE, "--config.seed", "1"],
    ],
)
def test_an_unknown_argument(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    last = err.splitlines()[-1]
    unknown = arguments[-1]
    assert f"unrecognised argument {unknown!r}; see volsynth {arguments[0]} --help" in last


@pytest.mark.parametrize("arguments", [["trian"], ["train"], ["data"]])
def test_an_incomplete_command(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "volsynth" in capsys.readouterr().err


def test_a_run_that_was_interrupted_or_diverged(capsys, monkeypatch, tmp_path):
    from volsynth.train import loop

    for error, status in ((loop.Interrupted("stopped"), 3), (loop.Diverged("not finite"), 2)):

        def train(config, workdir, error=error):
            raise error

        monkeypatch.setattr(training, "train", train)
        assert cli.main(["train", "--config", SMOKE, "--workdir", str(tmp_path)]) == status
        assert str(error) in capsys.readouterr().err
