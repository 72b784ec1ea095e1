"""volsynth: pose-conditioned human image synthesis with volumetric feature transformation."""

from typing import Any

__version__ = "0.1.0"


def load(path: Any, program: bool | None = None) -> Any:
    """Reads a model that `volsynth export` wrote; see `volsynth.export.exported_model.load`."""
    # Late: the command line's help would wait for JAX.
    from volsynth.export import exported_model

    return exported_model.load(path, program)
