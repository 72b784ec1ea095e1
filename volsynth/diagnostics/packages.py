"""Checks that Python and the packages that volsynth needs are installed, and new enough.

Both come from the metadata of installed packages: importing TensorFlow alone would take seconds.
"""

import importlib.metadata
import platform
import re
import sys
from typing import Any

from volsynth.errors import UserError

# Other distributions of the same modules; the one with GPU support has another name.
_STANDS_IN_FOR = {"tensorflow-cpu": ("tensorflow",)}


def python_report() -> dict[str, str]:
    """Compares the Python that runs with the oldest one that volsynth runs on; JSON values.

    Raises:
      UserError: volsynth is not installed.
    """
    needed = _metadata(lambda: importlib.metadata.metadata("volsynth")["Requires-Python"])
    version = platform.python_version()
    return {
        "version": version,
        "needed": needed,
        "status": "ok" if numbers(version) >= numbers(needed) else "old",
        "executable": sys.executable,
    }


def needed_packages() -> dict[str, str | None]:
    """Returns the packages that volsynth needs, with the oldest version of each or None.

    Raises:
      UserError: volsynth is not installed.
    """
    needed = {}
    for line in _metadata(lambda: importlib.metadata.requires("volsynth")):
        requirement, _, marker = line.partition(";")
        # Optional packages; they are named by the commands that need them.
        if "extra" in marker:
            continue
        # By hand: the package that reads requirements in full may itself be missing.
        name, oldest = re.match(r"([\w.-]+)(?:>=([\w.]+))?", requirement).groups()
        needed[name] = oldest
    return needed


def package_reports() -> list[dict[str, Any]]:
    """Looks up the version of every needed package; JSON values.

    Returns:
      The "name", "version" (None if it is missing), "needed" and "status" of each package: "ok",
      "old" or "missing".

    Raises:
      UserError: volsynth is not installed.
    """
    entries = []
    for name, oldest in needed_packages().items():
        version = _version(name)
        if version is None:
            status = "missing"
        else:
            status = "old" if oldest and numbers(version) < numbers(oldest) else "ok"
        needed = f">={oldest}" if oldest else "any"
        entries.append({"name": name, "version": version, "needed": needed, "status": status})
    return entries


def numbers(version: str) -> tuple[int, ...]:
    """Returns the first three numbers of a version, with zeros for those that it lacks."""
    # Without the padding 2.20 would be older than 2.20.0.
    found = [int(number) for number in re.findall(r"\d+", version.split("+")[0])[:3]]
    return tuple(found + [0] * (3 - len(found)))


def _version(name):
    for candidate in (name, *_STANDS_IN_FOR.get(name, ())):
        try:
            return importlib.metadata.version(candidate)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _metadata(read):
    try:
        return read()
    except importlib.metadata.PackageNotFoundError as error:
        raise UserError(
            "doctor: volsynth is not installed, so that nothing says what it needs: run pip"
            " install -e . in its folder."
        ) from error
