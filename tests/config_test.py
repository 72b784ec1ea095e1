"""Config files, their variants, and overrides: what loads, and each message of what does not."""

import json
import pathlib
import re

import ml_collections
import pytest

from volsynth.config import (
    config_from_dict,
    config_to_dict,
    import_config,
    last_step,
    load_config,
)
from volsynth.errors import UserError

FILES = sorted(pathlib.Path("configs").glob("[!_]*.py"))
ALL = [f"{p}:{name}" for p in FILES for name in import_config(p).VARIANTS]
SPEC = "configs/volumetric.py:smoke"


def _keys(tree, prefix=""):
    if not isinstance(tree, dict) or prefix == ".data.also":  # A table of any keys.
        return {prefix}
    return {key for name, value in tree.items() for key in _keys(value, f"{prefix}.{name}")}


def _refused(message, spec=SPEC, overrides=()):
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        load_config(spec, overrides)
    return str(caught.value)


# --- every file, every variant -------------------------------------------------------------------


def test_there_are_configs():
    assert "configs/volumetric.py:full" in ALL
    assert len(FILES) == len({spec.partition(":")[0] for spec in ALL})


@pytest.mark.parametrize("spec", ALL)
def test_every_variant_loads_locked_and_survives_json(spec):
    loaded = load_config(spec)
    assert loaded.is_locked
    assert loaded.train.is_locked
    with pytest.raises((KeyError, AttributeError)):
        loaded.train.stepz = 1
    values = config_to_dict(loaded)
    assert json.loads(json.dumps(values)) == values
    restored = config_from_dict(values)
    assert restored.is_locked
    assert restored == loaded
    assert config_to_dict(restored) == values


@pytest.mark.parametrize("spec", ALL)
def test_a_variant_changes_keys_and_adds_none(spec):
    path, _, name = spec.partition(":")
    module = import_config(pathlib.Path(path))
    keys = _keys(load_config(path).to_dict())
    assert _keys(load_config(spec).to_dict()) == keys
    assert _keys(module.VARIANTS[name]) <= keys | {""}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_without_a_variant_a_config_is_a_whole_one(path):
    assert load_config(str(path)) == load_config(f"{path}:")
    assert load_config(str(path)).is_locked


def test_a_config_without_what_it_imports_says_what_to_copy(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(pathlib.Path("configs/resnet2d.py").read_text())
    message = "must lie beside it; copy them, too."
    with pytest.raises(UserError, match=rf"mine\.py fails: .*_common.*{message}"):
        load_config(str(path))


def test_a_config_imports_what_the_files_beside_it_share(tmp_path):
    for name, value in (("one", 1), ("two", 2)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "_shared.py").write_text(f"VALUE = {value}\n")
        (folder / "my.config.py").write_text(
            "import ml_collections\n"
            "from . import _shared\n"
            "def get_config():\n"
            "    return ml_collections.ConfigDict({'value': _shared.VALUE})\n"
        )
        # Folders do not see one another's.
        assert load_config(f"{folder}/my.config.py").value == value
    message = _refused("no config file", f"{folder}/other.py")
    assert "my.config.py" in message
    assert "_shared" not in message


def test_variants_are_laid_on_top_of_one_another_in_order():
    demo, smoke = (load_config(f"configs/volumetric.py:{name}") for name in ("demo", "smoke"))
    first, last = (
        load_config(f"configs/volumetric.py:{names}") for names in ("smoke,demo", "demo,smoke")
    )
    assert (first.model.depth, last.model.depth) == (demo.model.depth, smoke.model.depth) == (8, 4)
    # What the later one does not mention stays as the earlier one has it.
    assert last.loss.gan == demo.loss.gan != smoke.loss.gan
    assert first.model.blocks_pose == smoke.model.blocks_pose != demo.model.blocks_pose


def test_lists_come_back_as_tuples_at_every_depth():
    restored = config_from_dict({"a": [1, [2, 3]], "b": {"c": ["x"]}, "d": 1.0})
    assert restored.b.c == ("x",)
    assert restored.a[0] == 1
    assert type(restored.d) is float


# --- overrides -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("--config.model.depth=16", 16),
        ("--config.mesh.data=-1", -1),
        ("--config.loss.gan=0.5", 0.5),
        ("--config.loss.gan=2", 2.0),
        ("--config.optim.generator.learning_rate=1e-4", 1e-4),
        ("--config.model.dilation_block=false", False),
        ("--config.model.dilation_block=False", False),
        ("--config.model.dilation_block=TRUE", True),
        ("--config.model.encoder_widths=(8, 16)", (8, 16)),
        ("--config.model.encoder_widths=8,16,32", (8, 16, 32)),
        ("--config.model.encoder_widths=[8]", (8,)),
        ("--config.model.encoder_widths=(8,)", (8,)),
        ("--config.data.dir=/a=b,c", "/a=b,c"),
        ("--config.data.config=64", "64"),
        ("--config.data.dir=", ""),
    ],
)
def test_an_override_has_the_type_of_what_it_overrides(override, value):
    loaded = load_config(SPEC, [override])
    found = loaded
    for part in override.partition("=")[0].split(".")[1:]:
        found = found[part]
    assert found == value
    assert type(found) is type(value)
    assert loaded.is_locked


def test_a_section_that_is_empty_is_a_table_that_an_override_fills():
    overrides = ["--config.data.also={'a/64': 0.5, 'b/64': 0.1}", "--config.data.also={'c/1': 1}"]
    loaded = load_config(SPEC, overrides)
    assert loaded.data.also.to_dict() == {"c/1": 1}
    assert loaded.data.also.is_locked
    assert config_from_dict(config_to_dict(loaded)) == loaded
    assert load_config(SPEC).data.also.to_dict() == {}


def test_overrides_apply_in_order():
    overrides = ["--config.seed=1", "--config.train.steps=9", "--config.seed=2"]
    loaded = load_config(SPEC, overrides)
    assert (loaded.seed, loaded.train.steps) == (2, 9)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "--config.modle.depth=8",
            "--config.modle.depth=8: config has no key 'modle'; did you mean 'model'? Allowed: ",
        ),
        (
            "--config.model.dept=8",
            "config.model has no key 'dept'; did you mean 'depth'? Allowed: blocks_after, ",
        ),
        ("--config.seed.x=8", "config.seed is a value (0), it has no keys."),
        ("--config.model=8", "--config.model=8: that is a section; its keys: blocks_after, "),
        ("--config.data.also=5", "--config.data.also=5: write a dict, such as {'name': 0.5}."),
        ("--config.data.also={'a.b': 1}", "write a dict, such as {'name': 0.5}."),
        ("--config.seed", "--config.seed: write --config.seed=VALUE, with an equals sign."),
        ("--config.=3", "config has no key ''; Allowed: data, "),
        ("--config.seed=eight", "'eight' is not of type int (it is 0 by default)."),
        ("--config.seed=", "'' is not of type int"),
        ("--config.seed=1.0", "'1.0' is not of type int"),
        ("--config.seed=True", "'True' is not of type int"),
        ("--config.seed={[]: 1}", "'{[]: 1}' is not of type int"),
        ("--config.loss.gan=True", "'True' is not of type float (it is 1.0 by default)."),
        ("--config.loss.gan=nan", "'nan' is not of type float"),
        ("--config.model.dilation_block=1", "'1' is not of type bool (it is True by default)."),
        ("--config.model.encoder_widths=8", "'8' is not of type tuple (it is (4, 4) by default)."),
        ("--config.model.encoder_widths=(8, 'x')", "holds other types than the default, (4, 4)."),
    ],
)
def test_an_override_that_cannot_be(override, message):
    _refused(message, overrides=[override])


# --- files ---------------------------------------------------------------------------------------


def test_a_file_that_is_not_there_comes_with_those_that_are(tmp_path):
    files = ", ".join(map(str, FILES))
    _refused(f"no config file configs/volumetri.py. Config files in configs: {files}.",
             "configs/volumetri.py:smoke")  # fmt: skip
    (tmp_path / "mine.py").touch()
    _refused(f"Config files in {tmp_path}: {tmp_path}/mine.py.", f"{tmp_path}/x.py")
    _refused(f"no config file nowhere/x.py. Config files in configs: {files}.", "nowhere/x.py")


def test_an_unknown_variant_comes_with_the_nearest():
    message = (
        "configs/volumetric.py: unknown variant 'smok'; did you mean 'smoke'? Allowed: both_2d, "
    )
    _refused(message, "configs/volumetric.py:smok")
    _refused(message, "configs/volumetric.py:demo,smok")


@pytest.mark.parametrize("names", ["demo,", ",demo", "demo,,smoke", " demo"])
def test_a_list_of_variants_with_a_slip_in_it(names):
    _refused("unknown variant ", f"configs/volumetric.py:{names}")


def _write(tmp_path, text, name="mine.py"):
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def test_a_file_that_is_no_config(tmp_path):
    path = _write(tmp_path, "x = 1\n")
    _refused(f"{path} is not a config: it has no function get_config.", path)
    path = _write(tmp_path, "x = 1\n", "mine.txt")
    _refused(f"{path} is not a config: its name must end with .py.", path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0\n", "fails: ZeroDivisionError: division by zero"),
        ("def get_config(:\n", "fails: SyntaxError: invalid syntax"),
        ("import nothing_of_that_name\n", "fails: ModuleNotFoundError: No module named"),
        ("def get_config():\n    return {}['x']\n", "fails: KeyError: 'x'"),
        ("def get_config():\n    return {}\n", ": get_config must return a ConfigDict, got {}."),
    ],
)
def test_a_file_that_fails(tmp_path, text, message):
    path = _write(tmp_path, text)
    _refused(path, path)
    _refused(message, path)


def test_a_users_config_that_forgets_the_lock_is_locked(tmp_path):
    text = "import ml_collections\ndef get_config():\n    "
    path = _write(tmp_path, text + "return ml_collections.ConfigDict({'a': {'b': 1}})\n")
    loaded = load_config(path, ["--config.a.b=2"])
    assert isinstance(loaded, ml_collections.ConfigDict)
    assert loaded.is_locked
    assert loaded.a.b == 2


@pytest.mark.parametrize(
    ("train", "expected"),
    [({"steps": 9}, 9), ({"steps": {"coarse": 3, "refine": 4}}, 7), ({"steps": {}}, None)],
)
def test_phases_count_together(train, expected):
    assert last_step({"train": train}) == expected


@pytest.mark.parametrize("values", [None, [], {}, {"train": None}, {"train": {"steps": "many"}}])
def test_a_config_that_lacks_its_steps_has_no_last_one(values):
    assert last_step(values) is None
