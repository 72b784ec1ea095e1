"""Config files, their variants, and overrides from the command line.

A config is an ml_collections file with `get_config(variants)` and a table `VARIANTS`; it is Python
and is executed, so give only files that you trust. It is named `PATH[:VARIANT[,VARIANT...]]`, and
`--config.model.depth=16` overrides a value. A section that the file leaves empty is a table that
takes any keys: `--config.data.also={'deepfashion/64': 0.6}` fills it. What several files of a
folder share is in one whose name begins with an underscore: `from . import _NAME` imports it.
"""

import ast
import importlib.util
import json
import pathlib
import sys
import types
import zlib
from collections.abc import Sequence
from typing import Any

import ml_collections

from volsynth.errors import UserError, did_you_mean


def load_config(spec: str, overrides: Sequence[str] = ()) -> ml_collections.ConfigDict:
    """A locked config.

    Args:
      spec: PATH or PATH:VARIANT[,VARIANT...].
      overrides: each "--config.SECTION.KEY=VALUE".

    Raises:
      UserError: no such file, variant or key, or a value of the wrong type.
    """
    path, _, names = spec.partition(":")
    module = import_config(pathlib.Path(path))
    variants = getattr(module, "VARIANTS", {})
    for name in names.split(",") if names else ():
        if name not in variants:
            raise UserError(f"{path}: unknown variant {name!r}; {did_you_mean(name, variants)}")
    config = _call(path, module.get_config, *([names] if names else []))
    if not isinstance(config, ml_collections.ConfigDict):
        raise UserError(f"{path}: get_config must return a ConfigDict, got {config!r}.")
    config.lock()
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
    """Nested dicts of JSON values: tuples become lists."""
    return json.loads(config.to_json())


def config_from_dict(values: dict[str, Any]) -> ml_collections.ConfigDict:
    """The inverse of `config_to_dict`: a locked config; lists become tuples."""

    def restore(value):
        if isinstance(value, dict):
            return {key: restore(entry) for key, entry in value.items()}
        return tuple(value) if isinstance(value, list) else value

    config = ml_collections.ConfigDict(restore(values))
    return config.lock()


def import_config(path):
    if not path.is_file():
        folder = path.parent if path.parent.is_dir() else pathlib.Path("configs")
        found = ", ".join(sorted(str(p) for p in folder.glob("[!_]*.py"))) or "none"
        where = "" if list(folder.glob("*.py")) else " Are you in the folder of the repository?"
        raise UserError(f"no config file {path}. Config files in {folder}: {found}.{where}")
    # In a package of its folder, so that `from . import _common` finds what its configs share.
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
    except Exception as error:  # The file is the user's own code: anything may go wrong in it.
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
    """The text as a value of the type that the config has there."""
    value = text
    if not isinstance(old, str):
        try:
            value = ast.literal_eval({"true": "True", "false": "False"}.get(text.lower(), text))
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            value = text
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
