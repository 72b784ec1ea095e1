"""Checks that a benchmark can run, before anything is measured."""

import importlib.util
from typing import Any

from volsynth.errors import UserError


def check_volumetric(config: Any, command: str) -> None:
    """Checks that a config is of the volumetric system, whose parts the benchmarks compare.

    Raises:
      UserError: it is of another system.
    """
    if config.system != "volumetric":
        raise UserError(
            f"bench {command} measures the volumetric system, not {config.system}; "
            "give --config configs/volumetric.py:demo."
        )


def torch_installed() -> bool:
    """Whether PyTorch is installed."""
    # Without importing it, which takes seconds.
    return importlib.util.find_spec("torch") is not None


def torch_found() -> bool:
    """Returns True if PyTorch is installed.

    Raises:
      UserError: it is not; a report that silently lacks the comparison would be no answer.
    """
    if not torch_installed():
        raise UserError("the comparison needs PyTorch: pip install -e '.[bench]', or --no-torch.")
    return True
