"""volsynth: pose-conditioned human image synthesis with volumetric feature transformation."""

__version__ = "0.1.0"
