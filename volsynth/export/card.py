"""The card of an exported model: its origin, its inputs and outputs, and its scores."""

import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

import volsynth
from volsynth import fields, skeleton
from volsynth.errors import os_errors_explained
from volsynth.export import forward, model_folder
from volsynth.results import result_files, tables
from volsynth.system import System
from volsynth.train import run_log

KEYPOINTS = {
    "joints": list(skeleton.JOINTS),
    "sides": "right and left are the person's own",
    "pelvis": "the mean of the hips",
    "axes": "x right, y down, z away from the camera",
    "joints_px": "pixels of the image of S by S, in which the pixel of row i and column j has its "
    "centre at (j + 0.5, i + 0.5); depth has the scale of width and height, and the mean depth of "
    "the visible joints is S / 2",
    "joints_mm": "mm along the axes of the camera, relative to the pelvis",
    "visible": "whether a joint is known; one that is not counts for nothing",
}
"""Description of the format of poses, which every card holds."""

LICENCE_OF_POSED_PEOPLE = "Apache-2.0"
"""Licence of parameters that were trained on the data set `posed_people` alone."""

LICENCE_UNKNOWN = "not stated; that of the training data may restrict the use of the parameters"
"""Text that stands for the licence where none was given."""


def make_card(
    workdir: pathlib.Path,
    run: Mapping[str, Any],
    config: Any,
    system: System,
    step: int,
    split: str,
    licence: str | None,
    inputs: Sequence[str],
    parameters: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """The card of an exported model, as nested dicts of JSON values.

    Args:
      workdir: the folder of the run.
      run: the record of its `run.json`.
      config: its config.
      system: the system of the config.
      step: the exported step.
      split: the split whose scores go into the card, if they are of this step.
      licence: licence of the parameters; None for one that follows from the training data.
      inputs: names of the fields of a batch that the model takes.
      parameters: the exported arrays by name.

    Raises:
      UserError: a log file or the results of the run cannot be read.
    """
    side = config.data.image_size
    also = dict(config.data.also)
    sizes = {name: ["B", *value.shape[1:]] for name, value in system.batch_spec(1, side).items()}
    # What a reader of the model has to know, without the run: what goes in, what comes out, in
    # which units, where it is from, and how good it is by which protocol.
    return {
        "format": model_folder.FORMAT,
        "system": system.name,
        "paper": system.paper,
        "task": system.task,
        "image_size": side,
        # Pictures may have any side that is a multiple of this, from the image size on; 0 for none.
        "size_step": system.size_step,
        "frames": system.frames,
        "step": step,
        "inputs": {
            name: {"shape": sizes[name], "is": fields.BATCH[name].describe()} for name in inputs
        },
        "outputs": {
            name: fields.OUTPUTS[name].describe() for name in fields.TASK_OUTPUTS[system.task]
        },
        "keypoints": KEYPOINTS,
        "parameters": _counts(parameters),
        "precision": config.precision,
        "platforms": list(forward.PLATFORMS),
        "trained_on": {
            "data": f"{config.data.name}/{config.data.config}",
            "also": also,
            "identity": run["data"],
            "batch_size": config.train.batch_size,
            "steps": step,
            "seed": config.seed,
        },
        "notes": run.get("notes", {}),
        "evaluation": _evaluation(workdir, split, step),
        "licence": licence or _default_licence(config),
        "trained_with": _trained_with(workdir),
        "exported_with": {
            "volsynth": volsynth.__version__,
            "commit": run_log.commit(),
            "jax": jax.__version__,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        },
    }


def _counts(parameters):
    """The number of exported values, in all and of each network."""
    networks = {}
    for name, value in parameters.items():
        network = name.partition("/")[0]
        networks[network] = networks.get(network, 0) + value.size
    return {"total": sum(networks.values()), "networks": networks, "averaged": True}


def _default_licence(config):
    # Our own data set allows everything; what others allow of parameters we cannot know.
    own = config.data.name == "posed_people" and not config.data.also
    return LICENCE_OF_POSED_PEOPLE if own else LICENCE_UNKNOWN


def _evaluation(workdir, split, step):
    """The scores of a workdir on a split, if they are of this step."""
    found = result_files.read_split(workdir, split)
    if found is None or found["step"] != step:
        why = (
            f"{workdir} has no scores on {split}"
            if found is None
            else f"the scores on {split} are of step {found['step']}, not {step}"
        )
        # A warning and no error: a model without scores is of use, too.
        print(
            f"volsynth: {why}: the card says none. For scores in it, run first: volsynth evaluate "
            f"--workdir {workdir} --split {split}",
            file=sys.stderr,
        )
        return None
    wanted = ("label", "metrics", "baselines", "details", "protocol", "step")
    return {key: found[key] for key in wanted if key in found}


def _trained_with(workdir):
    """Version and commit of the code with which the run was started last."""
    with os_errors_explained("read", f"{workdir}: {run_log.STARTS}", path_first=True):
        starts = run_log.read_starts(workdir)
    last = starts[-1] if starts else {}
    return {
        "volsynth": last.get("version"),
        "commit": last.get("commit"),
        "jax": last.get("jax"),
        "device": last.get("device"),
    }


def readme(card: Mapping[str, Any]) -> str:
    """The card as Markdown, for people.

    Args:
      card: the result of `make_card`.
    """
    trained, found = card["trained_on"], card["evaluation"]
    also = "".join(
        f", {name} ({share:g} of the samples)" for name, share in trained["also"].items()
    )
    inputs = "\n".join(f"| `{name}` | {field['is']} |" for name, field in card["inputs"].items())
    outputs = "\n".join(f"| `{name}` | {what} |" for name, what in card["outputs"].items())
    joints = ", ".join(f"{i} {name}" for i, name in enumerate(card["keypoints"]["joints"]))
    notes = "".join(f"- {key}: {note}\n" for key, note in card["notes"].items())
    code = card["trained_with"]
    return f"""# {card["system"]}, step {card["step"]}

{card["paper"]}.

A model of volsynth with {card["parameters"]["total"]:,} averaged parameters, for images of
{_sizes(card)}.

    import volsynth
    model = volsynth.load("PATH OF THIS FOLDER")

## Training

- data: {trained["data"]}{also}, identity `{trained["identity"]}`
- steps: {trained["steps"]}, batch size {trained["batch_size"]}, seed {trained["seed"]}
- code: volsynth {code["volsynth"]}, commit {code["commit"]}, JAX {code["jax"]}
{notes}
## Scores

{_scores(found)}
## Inputs and outputs

S is {_side(card)}, B any number.

| input | |
|---|---|
{inputs}

| output | |
|---|---|
{outputs}

## Keypoints

{joints}.

{"; ".join(f"{key}: {text}" for key, text in card["keypoints"].items() if key != "joints")}.

## Licence

{card["licence"]}
"""


def _sizes(card):
    """The sizes of the images that the model takes, in words."""
    side, step = card["image_size"], card["size_step"]
    if not step:
        return f"{side} by {side} pixels"
    return f"any size from {side} by {side} pixels on, in steps of {step}"


def _side(card):
    step = card["size_step"]
    return f"{card['image_size']} or a larger multiple of {step}" if step else card["image_size"]


def _scores(found):
    if found is None:
        return "None were computed of this step.\n"
    protocol = found["protocol"]
    return (
        f"{protocol['images']} images of the split {protocol['split']} of {protocol['data']}; the "
        f"whole protocol is in `{model_folder.CARD}`.\n\n{tables.results_table(found)}"
    )
