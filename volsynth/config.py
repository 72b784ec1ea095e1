"""Config files, their variants, overrides from the command line, and objects built from sections.

A config file is a Python file that defines `get_config(variants)`, which returns an ml_collections
ConfigDict, and a table `VARIANTS`. The file is executed, so load only files that you trust. A
config is named `PATH[:VARIANT[,VARIANT...]]`, and `--config.model.depth=16` overrides one value. A
section that the file leaves empty is a table that takes any keys:
`--config.data.also={'deepfashion/64': 0.6}` fills it. Config files of one folder share code through
a file whose name begins with an underscore, which `from . import _NAME` imports.
"""

import ast
import dataclasses
import importlib.util
import json
import pathlib
import sys
import types
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import ml_collections

from volsynth.errors import UserError, did_you_mean

T = TypeVar("T")


def load_config(spec: str, overrides: Sequence[str] = ()) -> ml_collections.ConfigDict:
    """Loads a config file with its variants and overrides.

    Args:
      spec: PATH or PATH:VARIANT[,VARIANT...].
      overrides: each "--config.SECTION.KEY=VALUE".

    Returns:
      The config, locked: assigning a key that it does not have is an error.

    Raises:
      UserError: there is no such file, variant or key, or a value has the wrong type.
    """
    path, _, names = spec.partition(":")
    module = import_config(pathlib.Path(path))
    variants = getattr(module, "VARIANTS", {})
    for name in names.split(",") if names else ():
        if name not in variants:
            raise UserError(f"{path}: unknown variant {name!r}; {did_you_mean(name, variants)}")
    # A file without variants may define `get_config()` without a parameter.
    config = _call(path, module.get_config, *([names] if names else []))
    if not isinstance(config, ml_collections.ConfigDict):
        raise UserError(f"{path}: get_config must return a ConfigDict, got {config!r}.")
    config.lock()
    # Collected before the overrides: a table that one override has filled can be replaced by the
    # next one.
    tables = _empty_sections(config)
    for override in overrides:
        _override(config, override, tables)
    return config


def _empty_sections(config, prefix=""):
    """Names of the sections without keys, such as "data.also"."""
    if not isinstance(config, ml_collections.ConfigDict):
        return set()
    if prefix and not config.keys():
        return {prefix[:-1]}
    return {name for key in config for name in _empty_sections(config[key], f"{prefix}{key}.")}


def config_to_dict(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """Turns a config into nested dicts of JSON values; tuples become lists."""
    return json.loads(config.to_json())


def config_from_dict(values: dict[str, Any]) -> ml_collections.ConfigDict:
    """Turns nested dicts back into a locked config; lists become tuples.

    This is the inverse of `config_to_dict`.
    """

    def restore(value):
        if isinstance(value, dict):
            return {key: restore(entry) for key, entry in value.items()}
        return tuple(value) if isinstance(value, list) else value

    config = ml_collections.ConfigDict(restore(values))
    return config.lock()


def last_step(values: Any) -> int | None:
    """The number of the last step of a run, over all of its phases; None if the config lacks it.

    Args:
      values: the config as nested dicts, such as `config_to_dict` returns. A record of a run that
        is damaged may hold anything else.
    """
    try:
        steps = values["train"]["steps"]
    except (KeyError, TypeError):
        return None
    # A system with several phases has a number of steps for each.
    counts = list(steps.values()) if isinstance(steps, Mapping) else [steps]
    return sum(counts) if counts and all(isinstance(count, int) for count in counts) else None


def import_config(path: pathlib.Path) -> types.ModuleType:
    """Executes a config file and returns it as a module.

    Raises:
      UserError: there is no such file, it fails, or it has no function `get_config`.
    """
    if not path.is_file():
        folder = path.parent if path.parent.is_dir() else pathlib.Path("configs")
        found = ", ".join(sorted(str(p) for p in folder.glob("[!_]*.py"))) or "none"
        where = "" if list(folder.glob("*.py")) else " Are you in the folder of the repository?"
        raise UserError(f"no config file {path}. Config files in {folder}: {found}.{where}")
    # The module is put into an artificial package of its folder, so that `from . import _common`
    # works without an __init__.py. The checksum keeps two folders called "configs" apart.
    folder = path.parent.resolve()
    package = f"volsynth_configs_{zlib.crc32(bytes(folder)):08x}"
    sys.modules.setdefault(package, types.ModuleType(package)).__path__ = [str(folder)]
    name = f"{package}.{path.stem.replace('.', '_')}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise UserError(f"{path} is not a config: its name must end with .py.")
    module = importlib.util.module_from_spec(spec)
    _call(path, spec.loader.exec_module, module)
    if not hasattr(module, "get_config"):
        raise UserError(f"{path} is not a config: it has no function get_config.")
    return module


def _call(path, function, *arguments):
    try:
        return function(*arguments)
    # The file is the user's own code, which may raise anything.
    except Exception as error:
        if isinstance(error, ImportError) and (error.name or "").startswith("volsynth_configs_"):
            raise UserError(
                f"{path} fails: {error}. Files that it imports from its own folder must lie beside "
                "it; copy them, too."
            ) from error
        raise UserError(f"{path} fails: {type(error).__name__}: {error}") from error


def _override(config, override, tables):
    key, equals, text = override.removeprefix("--config.").partition("=")
    if not equals:
        raise UserError(f"{override}: write --config.{key}=VALUE, with an equals sign.")
    section, parts = config, key.split(".")
    for depth, part in enumerate(parts):
        where = "config" + "".join(f".{p}" for p in parts[:depth])
        if not isinstance(section, ml_collections.ConfigDict):
            raise UserError(f"{override}: {where} is a value ({section!r}), it has no keys.")
        if part not in section:
            hint = did_you_mean(part, section.keys())
            raise UserError(f"{override}: {where} has no key {part!r}; {hint}")
        if depth < len(parts) - 1:
            section = section[part]
    old = section[parts[-1]]
    # Before the check for a section: a table is an empty section, but can be assigned.
    if key in tables:
        section[parts[-1]] = _parse_table(override, text)
        return
    if isinstance(old, ml_collections.ConfigDict):
        raise UserError(f"{override}: that is a section; its keys: {', '.join(old.keys())}.")
    section[parts[-1]] = _parse(override, text, old)


def _parse_table(override, text):
    try:
        table = {str(key): value for key, value in dict(ast.literal_eval(text)).items()}
        return ml_collections.ConfigDict(table).lock()
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise UserError(f"{override}: write a dict, such as {{'name': 0.5}}.") from error


def _parse(override, text, old):
    """Parses the text of an override as a value of the type of the default `old`."""
    value = text
    # Where the default is text, the override is text as it stands: --config.name=3 means "3".
    if not isinstance(old, str):
        try:
            # literal_eval, because an override must not be able to run code. RecursionError and
            # MemoryError are what it raises for deeply nested text.
            value = ast.literal_eval({"true": "True", "false": "False"}.get(text.lower(), text))
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            value = text
    # A bool is an int in Python, but `true` for a learning rate is a mistake.
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(old, tuple) and isinstance(value, list):
        value = tuple(value)
    kinds = {type(entry) for entry in old} if isinstance(old, tuple) else set()
    if isinstance(value, tuple) and kinds and not {type(entry) for entry in value} <= kinds:
        raise UserError(f"{override}: {text!r} holds other types than the default, {old!r}.")
    if type(value) is not type(old):
        raise UserError(
            f"{override}: {text!r} is not of type {type(old).__name__} (it is {old!r} by default)."
        )
    return value


def build_section(
    kind: Callable[..., T], config: Any, name: str, *, within: str = "config", **more: Any
) -> T:
    """Builds an object whose arguments are the keys of one section of a config.

    Args:
      kind: a dataclass; Flax modules are dataclasses, too.
      config: the config that has the section.
      name: the name of the section.
      within: the name of the config in errors, where it is itself a section.
      more: further arguments of `kind`, which are not in the section.

    Raises:
      UserError: the section lacks an argument that has no default, or has a key that is no
        argument.
    """
    section = {key: _plain(value) for key, value in config.get(name, {}).items()}
    # Flax gives every module the fields "parent" and "name"; a config must not set them.
    others = {*more, "parent", "name"}
    fields = {f.name: f for f in dataclasses.fields(kind) if f.init and f.name not in others}
    needed = {
        key
        for key, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    for key in sorted(section.keys() - fields.keys()):
        raise UserError(f"{within}.{name} has no key {key!r}; {did_you_mean(key, fields)}")
    if missing := ", ".join(sorted(needed - section.keys())):
        raise missing_keys(f"{within}.{name}", missing)
    return kind(**section, **more)


def _plain(value):
    """A table within a section as a dict: what is built knows nothing of config files."""
    return value.to_dict() if isinstance(value, ml_collections.ConfigDict) else value


def missing_keys(section: str, keys: str) -> UserError:
    """Returns the error for a config, or a section of it, that lacks some keys.

    Args:
      section: what lacks them, such as "config.model".
      keys: the names of the missing keys, as text.
    """
    return UserError(
        f"{section} lacks {keys}: it is of another version of volsynth. Add it to the config; a "
        "run needs the version that trained it, or has to be trained anew."
    )
