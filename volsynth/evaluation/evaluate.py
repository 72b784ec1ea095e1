"""Evaluation of runs, exported models and folders of pictures: what `volsynth evaluate` does."""

import functools
import math
import pathlib
from collections.abc import Callable
from typing import Any, Literal

import jax
import numpy as np

from volsynth import progress, tasks
from volsynth.data import mixture, pairing, prepared, verify
from volsynth.errors import UserError
from volsynth.evaluation import pair_lists, picture_folders, sizes
from volsynth.evaluation.score_split import PAIRS_SEED, Subject, score_split
from volsynth.evaluation.scorer_options import Options
from volsynth.export import exported_model
from volsynth.progress import progress_bar
from volsynth.runs import restoring
from volsynth.system import Batch

AS_MADE = "none: float32 as the network made it"
"""The protocol's words for pictures that were scored without ever being written to a file."""

_USUAL = Options()


def evaluate_run(
    workdir: pathlib.Path,
    split_name: str,
    step: int | Literal["best"] | None = None,
    data_dir: str | None = None,
    out: pathlib.Path | None = None,
    options: Options = _USUAL,
    size: int | None = None,
) -> dict[str, Any]:
    """Scores a run's averaged weights on a whole split; writes results and galleries.

    Args:
      workdir: folder of the run.
      split_name: name of the split.
      step: step of the checkpoint; "best" for the best by `config.train.best_by`; None for the
        newest good one.
      data_dir: folder of the data, if it is not where it was in training.
      out: folder of the results; default: `evaluate-SPLIT` in the workdir, or
        `evaluate-SPLIT-SIZE` where a size is given.
      options: which scores and galleries are asked for.
      size: side of the pictures, in pixels, for systems that take any; None for the training's.

    Returns:
      The record of `record.make_record`, with "notes", "step", "of" and "galleries".

    Raises:
      UserError: the workdir holds no run or no checkpoint, the data is another one, or an option
        cannot be met.
    """
    if size is None:
        restored = restoring.restore(workdir, (split_name, "train"), step, data_dir)
    else:
        restored = restoring.restore_weights(workdir, step)
        section, step_of_size = restored.config.data, restored.system.size_step
        data = sizes.open_size(section, data_dir or section.dir, size, step_of_size, split_name)
        restored = restored._replace(data=data)
    config, data, system, step, averages = restored
    mesh, batch_size = _devices(config.evaluate.batch_size)
    place_batch = _batch_placement(mesh)
    # A copy of the weights on every device: only the batch is divided.
    if mesh is not None:
        averages = jax.device_put(averages, _sharding(mesh))
    make_one = restoring.predictor(system)

    def make(batch):
        # Scores are computed on one device, whatever made the pictures, so that they do not depend
        # on the number of devices.
        return jax.device_get(make_one(averages, place_batch(batch)))

    origin = {"kind": "run", "system": system.name}
    subject = Subject(
        tasks.TASKS[system.task],
        make,
        data,
        split_name,
        batch_size,
        {"notes": dict(system.notes), "step": step, "of": origin},
        _as_made,
        system.inputs,
        system.frames,
    )
    return score_split(subject, out or workdir / _folder(split_name, size), options)


def evaluate_model(
    path: pathlib.Path,
    split_name: str,
    data_dir: str | None = None,
    out: pathlib.Path | None = None,
    options: Options = _USUAL,
    batch_size: int = 16,
    size: int | None = None,
) -> dict[str, Any]:
    """Scores an exported model on a split of the data that it was trained on.

    Args:
      path: folder of the model.
      split_name: name of the split.
      data_dir: folder of the data; default: `data`.
      out: folder of the results; default: MODEL-evaluate-SPLIT beside the model's folder, which may
        hold nothing but the model; with a size MODEL-evaluate-SPLIT-SIZE.
      options: which scores and galleries are asked for.
      batch_size: number of pairs that are made and scored at a time.
      size: as for `evaluate_run`.

    Returns:
      The same as `evaluate_run`.

    Raises:
      UserError: there is no model, the data is another one, or an option cannot be met.
    """
    model = exported_model.load(path)
    section, folder = model.config.data, data_dir or "data"
    if size is None:
        data = prepared.open_prepared(folder, section.name, section.config)
        # A model may be trained on several data sets; it is scored on the one its config names.
        identity = mixture.main_identity(model.card["trained_on"]["identity"])
        if data.identity != identity:
            raise UserError(
                f"{data.folder} is not the data set that {path} was trained on ({data.identity} "
                f"here, {identity} there)."
            )
        verify.verify(data, (split_name, "train"), progress.say)
    else:
        data = sizes.open_size(section, folder, size, model.size_step, split_name)
    origin = {"kind": "model", "system": model.card.get("system"), "program": model.is_program}
    subject = Subject(
        tasks.TASKS[model.task],
        lambda batch: jax.device_get(model.predict(batch)),
        data,
        split_name,
        batch_size,
        {
            "notes": dict(model.card.get("notes", {})),
            "step": model.card.get("step"),
            "of": origin,
        },
        _as_made,
        model.inputs,
    )
    # Resolved, as the name of "." is empty.
    default = path.with_name(f"{path.resolve().name}-{_folder(split_name, size)}")
    return score_split(subject, out or default, options)


def evaluate_images(
    folder: pathlib.Path,
    data: prepared.Prepared,
    split_name: str,
    out: pathlib.Path | None = None,
    options: Options = _USUAL,
    batch_size: int = 16,
) -> dict[str, Any]:
    """Scores pictures that any method made of the pairs of `volsynth data pairs`.

    Args:
      folder: folder of the pictures, one for each pair.
      data: the data set of the pairs.
      split_name: name of the split.
      out: folder of the results; default: `evaluate-SPLIT` in the folder.
      options: which scores and galleries are asked for.
      batch_size: number of pairs that are scored at a time.

    Returns:
      The same as `evaluate_run`.

    Raises:
      UserError: a picture is missing or cannot be read, or an option cannot be met.
    """
    # Before any data is verified: a folder that lacks pictures is the most likely mistake.
    split = data.split(split_name)
    task = tasks.TASKS["image"]
    pairs = pairing.evaluation_pairs(split, PAIRS_SEED, task.keep_unpaired)
    pictures = picture_folders.PictureFolder(folder, pairs, data.image_size)
    verify.verify(data, (split_name, "train"), progress.say)
    subject = Subject(
        task,
        pictures.read_batch,
        data,
        split_name,
        batch_size,
        {"notes": {}, "step": None, "of": {"kind": "pictures", "folder": folder.name}},
        lambda: {
            "file_format": f"{', '.join(sorted(pictures.formats))}, 8 bits",
            "resize": pictures.resize,
        },
    )
    return score_split(subject, out or folder / f"evaluate-{split_name}", options)


def write_pairs(
    data_dir: str, name: str, config_name: str, split_name: str, out: str
) -> pathlib.Path:
    """Writes the pairs that evaluation scores, with all that another method needs for them.

    Args:
      data_dir: folder of the prepared data sets.
      name: name of the data set.
      config_name: name of its config.
      split_name: name of the split.
      out: folder for the list and the pictures.

    Returns:
      The file with the list; see `volsynth.evaluation.pair_lists`.

    Raises:
      UserError: there is no such data set or split, or the folder cannot be written.
    """
    split = prepared.open_prepared(data_dir, name, config_name).split(split_name)
    pairs = pairing.evaluation_pairs(split, PAIRS_SEED, tasks.TASKS["image"].keep_unpaired)
    with progress_bar(f"writing {split_name}", len(np.unique(pairs))) as advance:
        return pair_lists.write(split, pairs, out, advance)


def _folder(split_name, size):
    """The name of the folder of results."""
    return f"evaluate-{split_name}" + (f"-{size}" if size else "")


def _as_made():
    return {"file_format": AS_MADE, "resize": None}


def _devices(batch_size: int) -> tuple[jax.sharding.Mesh | None, int]:
    """A mesh of all local devices, None for a single one, and a batch size that they can share."""
    devices = jax.local_devices()
    if len(devices) == 1:
        return None, batch_size
    # Rounded up, as each device takes an equal part; rows that only fill a batch are not scored.
    mesh = jax.sharding.Mesh(np.array(devices), ("data",))
    return mesh, math.ceil(batch_size / len(devices)) * len(devices)


def _sharding(mesh, *axes):
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes))


def _batch_placement(mesh) -> Callable[[Batch], Batch]:
    """A function that puts a batch onto the devices of a mesh, an equal part on each."""
    if mesh is None:
        return lambda batch: batch
    return functools.partial(jax.device_put, device=_sharding(mesh, "data"))
