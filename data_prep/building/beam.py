"""Finishing pieces in an Apache Beam pipeline, on this machine or on the workers of a cluster."""

import functools
import pathlib
from collections.abc import Sequence
from typing import Any

from data_prep.building import pieces
from data_prep.errors import BuildError


def finish(todo: Sequence[pieces.Piece], side: int, folder: pathlib.Path, options: str) -> None:
    """Finishes pieces in a pipeline; returns when all of them are finished.

    Args:
      todo: the pieces to make.
      side: side of the images in pixels.
      folder: the folder of the files of pieces; all workers see it, and the source, under the same
        paths.
      options: options of the pipeline, NAME=VALUE,...; NAME alone is true. Where a name is missing,
        Beam's own default holds, which is to run on this machine.

    Raises:
      BuildError: Beam is not installed, or there is no such runner.
    """
    try:
        # Late: Beam is an extra that only this function needs.
        import apache_beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ModuleNotFoundError as error:
        raise BuildError(
            f"--beam needs Apache Beam ({error}); install it: pip install -e '.[beam]'."
        ) from error
    flags = [f"--{option}" for option in options.split(",") if option]
    try:
        pipeline = apache_beam.Pipeline(options=PipelineOptions(flags=flags))
    # Beam says with a ValueError that there is no such runner or option.
    except ValueError as error:
        raise BuildError(f"--beam: {error}") from error
    # Beam checks types by annotations, and a piece has no class of its own: anything may be one.
    make = apache_beam.Map(functools.partial(pieces.finish, side=side, folder=folder))
    with pipeline:
        _ = (
            pipeline
            | apache_beam.Create(todo).with_output_types(Any)
            # Without it Beam would fuse the two steps, and one worker would finish all pieces.
            | apache_beam.Reshuffle()
            | make.with_input_types(Any).with_output_types(Any)
        )
