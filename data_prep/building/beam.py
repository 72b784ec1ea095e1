"""Pieces that the workers of an Apache Beam pipeline finish, here or on a cluster."""

import functools
import pathlib
from collections.abc import Sequence
from typing import Any

from data_prep.building import pieces
from data_prep.errors import BuildError


def finish(todo: Sequence[pieces.Piece], side: int, folder: pathlib.Path, options: str) -> None:
    """Finishes pieces; returns when all are.

    Args:
      todo: to make.
      side: of the images.
      folder: of their files; all workers see it, and the source, under the same paths.
      options: of the pipeline, NAME=VALUE,...; NAME alone is true. Beam's own where there is none,
        so that it runs on this machine.

    Raises:
      BuildError: Beam is not installed, or there is no such runner.
    """
    try:
        import apache_beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ModuleNotFoundError as error:
        raise BuildError(
            f"--beam needs Apache Beam ({error}); install it: pip install -e '.[beam]'."
        ) from error
    flags = [f"--{option}" for option in options.split(",") if option]
    try:
        pipeline = apache_beam.Pipeline(options=PipelineOptions(flags=flags))
    except ValueError as error:
        raise BuildError(f"--beam: {error}") from error
    # Beam checks annotations, and cannot tell what is a piece: they are no class of ours.
    make = apache_beam.Map(functools.partial(pieces.finish, side=side, folder=folder))
    with pipeline:
        _ = (
            pipeline
            | apache_beam.Create(todo).with_output_types(Any)
            | apache_beam.Reshuffle()
            | make.with_input_types(Any).with_output_types(Any)
        )
