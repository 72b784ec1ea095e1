"""volsynth: pose-conditioned human image synthesis with volumetric feature transformation."""

from typing import Any

__version__ = "0.1.0"


def load(path: Any, program: bool | None = None) -> Any:
    """A model that `volsynth export` wrote, ready to be called: see `volsynth.exported.load`."""
    # Late: the command line's help would wait for JAX.
    from volsynth import exported

    return exported.load(path, program)
