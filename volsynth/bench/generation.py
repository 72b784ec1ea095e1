"""Frames per second of an exported model: the source encoded once, or anew for every frame."""

import pathlib
from typing import Any

import numpy as np

from volsynth.bench import timing
from volsynth.bench.timing import Say
from volsynth.conventions import MAGENTA
from volsynth.errors import UserError
from volsynth.generation import persons, render, staged
from volsynth.generation.bodies import to_body
from volsynth.generation.persons import Crop, Person
from volsynth.poses import pose_library


def bench_generation(
    path: pathlib.Path, batch: int, repeats: int, say: Say, size: int | None = None
) -> dict[str, Any]:
    """Measures the frames of a turning walk of an artificial person, by the networks' code.

    Args:
      path: the folder of an exported model.
      batch: frames at once.
      repeats: turns of each candidate.
      say: is told of the progress.
      size: side of the frames in pixels; None for the size of the training.

    Returns:
      {"frames_per_second": {"encoded_once", "whole": in the same batches, "whole_one_by_one"},
      "times_faster": encoding once than each of the latter two, "image_size", "batch", "machine"}.

    Raises:
      UserError: the model does not encode a source once, it makes no frames of that size, or the
        batch is empty.
    """
    if batch < 1:
        raise UserError(f"--batch must be at least 1, got {batch}.")
    # Without the compiled program of the export, which always runs the whole network.
    model = render.load_generator(path, program=False)
    if not staged.is_staged(model):
        raise UserError(
            f"{path} is of the system {model.config.system!r}, which runs whole for every frame; "
            "give a model of a system that encodes the source once, such as volumetric."
        )
    side = render.choose_side(model, size or model.image_size)
    who = _noise_person(side)
    pose = pose_library.named_pose("walking")
    # Turning, so that no two frames have the same pose.
    turns = np.linspace(0, 180, batch, endpoint=False)
    fitted = [persons.fit_poses([pose], who, turn) for turn in turns]
    bodies, square = [body for (body,), _ in fitted], fitted[0][1]
    makers = {
        "encoded_once": staged.render_staged(model, who, square, batch),
        "whole": render.render_whole(model, who, square, batch),
    }
    alone = render.render_whole(model, who, square, 1)
    candidates = {name: lambda make=make: make(bodies) for name, make in makers.items()}
    candidates["whole_one_by_one"] = lambda: [alone([body]) for body in bodies]
    # The first call compiles, and for "encoded_once" also encodes the source.
    for run in candidates.values():
        run()
    seconds = timing.median_seconds(candidates, repeats, say)
    rates = {name: batch / taken for name, taken in seconds.items()}
    once = rates["encoded_once"]
    return {
        "model": str(path),
        "image_size": side,
        "batch": batch,
        "frames_per_second": {name: round(rate, 2) for name, rate in rates.items()},
        "times_faster": {n: round(once / r, 2) for n, r in rates.items() if n != "encoded_once"},
        "machine": timing.machine_info(),
    }


def _noise_person(side: int) -> Person:
    """A standing person whose picture is noise between two magenta stripes."""
    body = to_body(pose_library.named_pose("standing"))
    frame = (side, side)
    square = Crop(np.zeros(2), float(side), side)
    low, high = body.joints.min(axis=0), body.joints.max(axis=0)
    # Centred, with 0.8 of the picture's side as its largest extent.
    joints = (body.joints - (low + high) / 2) * (0.8 * side / np.max(high - low)) + side / 2
    image = np.random.default_rng(0).integers(0, 256, (*frame, 3), np.uint8)
    image[:, : side // 3] = image[:, -side // 3 :] = MAGENTA
    return Person(image, square, body._replace(joints=joints), frame)
