"""Sections of a config become objects; one of another version is an error of one line."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

from volsynth.errors import UserError, did_you_mean

T = TypeVar("T")


def build(
    kind: Callable[..., T], config: Any, name: str, *, within: str = "config", **more: Any
) -> T:
    """An object whose fields are the keys of a section.

    Args:
      kind: a dataclass, as networks are, too.
      config: with the section `name`.
      name: of the section.
      within: what errors call the config, where it is itself a section.
      more: fields that the section has not.

    Raises:
      UserError: the section lacks a field that has no default, or has a key that is no field.
    """
    section = dict(config.get(name, {}))
    # The last two are Flax's own, of every network.
    others = {*more, "parent", "name"}
    fields = {f.name: f for f in dataclasses.fields(kind) if f.init and f.name not in others}
    needed = {
        key
        for key, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    for key in sorted(section.keys() - fields.keys()):
        raise UserError(
            f"{within}.{name} has no key {key!r}; {did_you_mean(key, needed | {*fields})}"
        )
    if missing := ", ".join(sorted(needed - section.keys())):
        raise lacks(f"{within}.{name}", missing)
    return kind(**section, **more)


def lacks(section: str, keys: str) -> UserError:
    """What is said of a section, or of a config, without some keys."""
    return UserError(
        f"{section} lacks {keys}: it is of another version of volsynth. Add it to the config; a "
        "run needs the version that trained it, or has to be trained anew."
    )
