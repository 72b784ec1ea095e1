"""The command line: help at once, JSON and nothing else, one line for every user's error."""

import hashlib
import json
import re
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from volsynth import cli, systems
from volsynth.config import config_to_dict
from volsynth.data import fake
from volsynth.diagnostics import doctor
from volsynth.pretrained import feature_networks
from volsynth.runs import training
from volsynth.train import checkpoint, optim, run_record, state

SMOKE = "configs/volumetric.py:smoke"
COMMANDS = [
    ("train",), ("evaluate",), ("compare",), ("report",), ("describe",), ("data",),
    ("data", "show"), ("data", "pairs"), ("data", "check"), ("data", "stats"),
    ("data", "convert-keypoints"), ("doctor",), ("bench",), ("bench", "warp"),
    ("bench", "conv3d"), ("bench", "step"), ("bench", "input"), ("bench", "generate"),
    ("bench", "reprojection"), ("data", "body"),
    ("weights",), ("weights", "convert"), ("features",), ("export",), ("generate",),
    ("animate",), ("pose",), ("study",), ("study", "simulate"), ("study", "coverage"),
    ("study", "collect"),
    ("study", "serve"), ("study", "report"), ("studio",),
]  # fmt: skip


def _fails(capsys, message, *arguments):
    """Exit status 2, nothing on standard output, one line on standard error."""
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("volsynth: error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert message in err
    return err


def _subcommands(parser):
    """Every command that the parser has, nested ones too."""
    for action in parser._subparsers._group_actions if parser._subparsers else ():
        for name, nested in action.choices.items():
            yield (name,)
            for rest in _subcommands(nested):
                yield (name, *rest)


# --- help ----------------------------------------------------------------------------------------


def test_the_commands_tested_here_are_all_there_are():
    assert sorted(_subcommands(cli._parser())) == sorted(COMMANDS)


@pytest.mark.parametrize("command", [(), *COMMANDS], ids=" ".join)
def test_every_command_has_help(capsys, command):
    with pytest.raises(SystemExit) as stop:
        cli.main([*command, "--help"])
    assert stop.value.code == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("usage: " + " ".join(["volsynth", *command]))
    for nested in COMMANDS:
        if nested[:-1] == command:
            assert re.search(rf"^ +{nested[-1]}\s", out, re.MULTILINE)


def test_help_answers_in_under_a_second_and_imports_nothing_heavy():
    program = (
        "import sys\n"
        "from volsynth import cli\n"
        "try:\n"
        "    cli.main(['--help'])\n"
        "except SystemExit:\n"
        "    pass\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    seconds = []
    for _ in range(3):
        start = time.monotonic()
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        seconds.append(time.monotonic() - start)
        if seconds[-1] < 1:
            break
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.splitlines()[-1].split())
    assert "argparse" in imported
    heavy = {"jax", "jaxlib", "flax", "tensorflow", "numpy", "optax", "orbax", "PIL", "rich"}
    assert not imported & heavy
    # The best of three: others may be using the machine.
    assert min(seconds) < 1


# --- JSON ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "key"),
    [(["describe", "--config", SMOKE], "params_total"), (["doctor"], "packages")],
)
def test_json_is_one_object_and_nothing_else(capsys, tmp_path, arguments, key):
    if arguments == ["doctor"]:
        arguments = [*arguments, "--data-dir", str(tmp_path)]
    assert cli.main([*arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert key in json.loads(out)
    assert err == ""


def test_an_override_reaches_what_is_described(capsys):
    def parameters(*overrides):
        assert cli.main(["describe", "--config", SMOKE, "--json", *overrides]) == 0
        return json.loads(capsys.readouterr().out)["stages"]["generator"]["before"]

    assert parameters("--config.model.blocks_before=2") == 2 * parameters()


def test_without_json_there_is_a_table(capsys):
    assert cli.main(["describe", "--config", SMOKE]) == 0
    assert "GMAC 3D" in capsys.readouterr().out


# --- errors --------------------------------------------------------------------------------------


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
    _fails(
        capsys,
        f"python -m data_prep.posed_people --config tiny --data-dir {tmp_path}/nowhere",
        *("train", "--config", SMOKE, "--workdir", str(workdir)),
        f"--config.data.dir={tmp_path}/nowhere",
    )
    assert not workdir.exists()


@pytest.mark.parametrize("command", ["train", "describe"])
def test_a_misspelt_config_key(capsys, tmp_path, command):
    rest = ["--workdir", str(tmp_path)] if command == "train" else ["--json"]
    _fails(
        capsys,
        "--config.model.dept=3: config.model has no key 'dept'; did you mean 'depth'?",
        *(command, "--config", SMOKE, "--config.model.dept=3", *rest),
    )


def test_a_misspelt_variant(capsys):
    message = "unknown variant 'smoek'; did you mean 'smoke'? Allowed: both_2d, "
    _fails(capsys, message, "describe", "--config", "configs/volumetric.py:smoek")


def test_a_config_that_is_not_there(capsys):
    _fails(
        capsys, "no config file volumetric. Config files in .", "describe", "--config", "volumetric"
    )


def test_a_config_whose_own_error_has_many_lines(capsys, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("raise ValueError('one\\ntwo')\n")
    _fails(capsys, "fails: ValueError: one two", "describe", "--config", str(path))


def test_a_workdir_of_another_config(capsys, claimed, data_dir):
    before = (claimed / "run.json").read_bytes()
    _fails(
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
    _fails(capsys, "run.json is damaged", "train", *config, *rest)
    _fails(capsys, "run.json is damaged", "evaluate", *rest)


def test_evaluating_a_folder_without_a_run(capsys, tmp_path):
    _fails(capsys, "holds no run (no run.json)", "evaluate", "--workdir", str(tmp_path))


def test_evaluating_a_run_without_a_checkpoint(capsys, claimed):
    _fails(capsys, "has no checkpoint yet", "evaluate", "--workdir", str(claimed), "--json")


def test_evaluating_a_split_that_is_not_there(capsys, with_checkpoint):
    _fails(
        capsys,
        "no split 'tset'; did you mean 'test'? Allowed: test, train, validation.",
        *("evaluate", "--workdir", str(with_checkpoint), "--split", "tset"),
    )


def test_evaluating_a_step_that_is_not_there(capsys, with_checkpoint):
    message = "has no checkpoint 3; there are [1]"
    _fails(capsys, message, "evaluate", "--workdir", str(with_checkpoint), "--step", "3")


def test_evaluating_a_step_that_is_no_number(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["evaluate", "--workdir", "x", "--step", "bset"])
    assert "argument --step: must be a number or best, got 'bset'" in capsys.readouterr().err


def test_doctor_of_a_file(capsys, tmp_path):
    path = tmp_path / "file"
    path.touch()
    _fails(capsys, str(path), "doctor", "--data-dir", str(path))


@pytest.mark.parametrize("command", [["evaluate", "--workdir", "x"], ["doctor"]])
def test_overrides_of_a_command_without_a_config(capsys, command):
    message = f"--config.seed=1: volsynth {command[0]} takes no config."
    _fails(capsys, message, *command, "--config.seed=1")


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


# --- weights -------------------------------------------------------------------------------------


def test_weights_are_converted_and_named(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(feature_networks.LAYOUTS, "vgg19", lambda: {"a": (2, 500)})
    source, out = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    source.write_bytes(safetensors.numpy.save({"a": np.ones((2, 500), np.float16)}))
    assert cli.main(["weights", "convert", str(source), str(out)]) == 0
    printed, err = capsys.readouterr()
    assert err == ""
    assert printed.splitlines() == [
        f"{source}: SHA-256 {hashlib.sha256(source.read_bytes()).hexdigest()}",
        f"{out}: SHA-256 {hashlib.sha256(out.read_bytes()).hexdigest()}",
        "vgg19: 1 arrays, 1,000 values, float32",
    ]
    np.testing.assert_array_equal(safetensors.numpy.load_file(out)["a"], np.ones((2, 500)))


def test_weights_of_two_files_are_converted_and_named(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(feature_networks.LAYOUTS, "lpips-alex", lambda: {"a": (2, 5)})
    monkeypatch.setitem(feature_networks.LIN_LAYOUTS, "lpips-alex", lambda: {"b": (3,)})
    paths = source, lin, out = [tmp_path / f"{name}.safetensors" for name in ("in", "lin", "out")]
    source.write_bytes(safetensors.numpy.save({"a": np.ones((2, 5), np.float32)}))
    lin.write_bytes(safetensors.numpy.save({"b": np.zeros(3, np.float32)}))
    kind = ("--kind", "lpips-alex")
    _fails(capsys, "lpips-alex needs", "weights", "convert", str(source), str(out), *kind)
    command = ["weights", "convert", str(source), str(out), *kind, "--lin", str(lin)]
    assert cli.main(command) == 0
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    assert capsys.readouterr().out.splitlines() == [
        *(f"{path}: SHA-256 {digest}" for path, digest in zip(paths, digests)),
        "lpips-alex: 2 arrays, 13 values, float32",
    ]


def test_weights_that_cannot_be_converted(capsys, tmp_path):
    source, out = tmp_path / "in.pth", tmp_path / "out.safetensors"
    convert = ("weights", "convert", str(source))
    _fails(capsys, "no such file. For one, save torchvision's vgg19", *convert, str(out))
    source.write_text("weights")
    _fails(capsys, "not a known format", *convert, str(out), "--kind", "vgg19")
    _fails(capsys, "must end in .safetensors", *convert, str(tmp_path / "out.pth"))
    assert [path.name for path in tmp_path.iterdir()] == ["in.pth"]


def test_the_kinds_of_weights_are_those_that_there_are():
    assert "{" + ",".join(feature_networks.LAYOUTS) + "}" in _help("weights", "convert")


def _help(*command):
    parser = cli._parser()
    for name in command:
        (action,) = parser._subparsers._group_actions
        parser = action.choices[name]
    return parser.format_help()


# --- data show -----------------------------------------------------------------------------------


def _show(data_dir, out, *rest):
    return (
        *("data", "show", "--data-dir", str(data_dir), "--config-name", "tiny"),
        *("--split", "test", "--out", str(out), *rest),
    )


def test_a_contact_sheet_says_how_many_it_shows(capsys, data_dir, tmp_path):
    out = tmp_path / "sheet.png"
    assert cli.main(_show(data_dir, out, "--count", "5")) == 0
    assert out.stat().st_size > 0
    assert capsys.readouterr().out.startswith(f"{out}: 5 records of ")
    assert cli.main(_show(data_dir, out, "--count", "500")) == 0
    assert capsys.readouterr().out.startswith(f"{out}: 16 records of ")


def test_a_sheet_of_training_pairs(capsys, data_dir, tmp_path):
    out = tmp_path / "sheet.png"
    train = ("--split", "train", "--count", "3")
    assert cli.main(_show(data_dir, out, *train, "--config", SMOKE)) == 0
    assert capsys.readouterr().out.startswith(f"{out}: 3 training pairs of ")
    changed = out.read_bytes()
    override = ("--config.data.augment.hue=0.5",)
    assert cli.main(_show(data_dir, out, *train, "--config", SMOKE, *override)) == 0
    assert out.read_bytes() != changed
    capsys.readouterr()
    wrong = ("--config.data.augment.hue=0.6",)
    message = "config.data.augment.hue must lie in [0, 0.5], 0 for none, got 0.6."
    _fails(capsys, message, *_show(data_dir, out, "--config", SMOKE, *wrong))
    _fails(capsys, "hue=0.5: give --config, too.", *_show(data_dir, out, *override))


def test_the_data_set_on_a_sheet_is_the_configs_or_64(capsys, data_dir, tmp_path):
    show = ("data", "show", "--data-dir", str(data_dir), "--out", str(tmp_path / "sheet.png"))
    assert cli.main([*show, "--config", SMOKE, "--count", "1"]) == 0
    assert "/posed_people/tiny/" in capsys.readouterr().out
    _fails(capsys, "no prepared data set in", *show)


def test_a_contact_sheet_that_cannot_be(capsys, data_dir, tmp_path):
    out = tmp_path / "sheet.png"
    _fails(capsys, "--count must be at least 1, got 0.", *_show(data_dir, out, "--count", "0"))
    _fails(capsys, "must end in .png", *_show(data_dir, tmp_path / "sheet.jpg", "--count", "1"))
    _fails(capsys, "no split 'tets'", *_show(data_dir, out, "--split", "tets"))
    _fails(capsys, "no prepared data set in", *_show(tmp_path, out))
    assert not out.exists()


# --- bench ---------------------------------------------------------------------------------------


def test_bench_prints_one_json_object(capsys):
    smoke = "configs/volumetric.py:smoke"
    arguments = ["bench", "conv3d", "--config", smoke, "--no-torch", "--repeats", "1", "--json"]
    assert cli.main(arguments) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert [row["shape"][-1] for row in json.loads(out)["shapes"]] == [2, 2, 4]
    assert "ours: " in err


def test_convolutions_are_those_of_demo_and_full(capsys, monkeypatch):
    from volsynth.bench import conv3d

    monkeypatch.setattr(conv3d, "bench_conv3d", lambda shapes, *settings: {"shapes": shapes})
    assert cli.main(["bench", "conv3d", "--no-torch", "--json"]) == 0
    shapes = json.loads(capsys.readouterr().out)["shapes"]
    assert [tuple(shape[:4]) for shape in shapes] == [(8, 16, 16, 8)] * 3 + [(2, 64, 64, 24)] * 3


def test_bench_takes_at_least_one_turn(capsys):
    _fails(capsys, "--repeats must be at least 1, got 0.", "bench", "step", "--repeats", "0")


def test_bench_of_the_warp_needs_poses(capsys, tmp_path):
    _fails(capsys, "posed_people", "bench", "warp", "--no-torch", "--data-dir", str(tmp_path))


@pytest.mark.slow
def test_bench_of_the_input_reports_rates_and_the_share_of_waiting(capsys, data_dir):
    where = ["--data-dir", str(data_dir), "--repeats", "1", "--json"]
    assert cli.main(["bench", "input", "--config", SMOKE, *where]) == 0
    out, _ = capsys.readouterr()
    assert out.count("\n") == 1
    report = json.loads(out)
    (row,) = report["inputs"]
    assert (row["data"], row["image_size"], row["batch_size"]) == ("posed_people/tiny", 32, 2)
    assert row["images_per_second"] == row["images_per_second_by_threads"][str(row["threads"])]
    step = report["step"]
    assert 0 <= step["share_waiting"] < 1
    wanted = row["images_per_second"] / step["images_per_second_consumed"]
    assert step["pipeline_over_step"] == pytest.approx(wanted)


def test_bench_of_the_input_says_how_to_prepare_what_is_missing(capsys, data_dir, tmp_path):
    build = "python -m data_prep.posed_people --config {} --data-dir {}"
    _fails(capsys, build.format("64", tmp_path), "bench", "input", "--data-dir", str(tmp_path))
    where = ("--data-dir", str(data_dir), "--config-name", "256")
    _fails(capsys, build.format("256", data_dir), "bench", "input", *where)


def test_bench_of_the_input_that_cannot_be(capsys, data_dir):
    where = ("bench", "input", "--data-dir", str(data_dir))
    _fails(capsys, "--repeats must be at least 1, got 0.", *where, "--repeats", "0")
    _fails(capsys, "--config.seed=1: give --config, too.", *where, "--config.seed=1")
    size = ("--config", SMOKE, "--config.data.image_size=64", "--repeats", "1")
    _fails(capsys, "has images of 32 pixels, config.data.image_size is 64", *where, *size)


def test_ctrl_c_is_one_line(capsys, monkeypatch):
    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "report", stopped)
    assert cli.main(["doctor"]) == 130
    assert capsys.readouterr().err == "volsynth: interrupted\n"


def test_alone_it_lists_the_commands(capsys):
    assert cli.main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    for name, *_ in COMMANDS:
        assert name in err
