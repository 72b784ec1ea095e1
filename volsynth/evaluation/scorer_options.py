"""Options of an evaluation, and the scorers that they ask for beside the task's own scores."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from volsynth.config import config_to_dict
from volsynth.data import prepared
from volsynth.errors import UserError, did_you_mean
from volsynth.evaluation import scorers, set_scorers
from volsynth.evaluation.scorers import ImageScorer
from volsynth.evaluation.set_scorers import SetScorer
from volsynth.export import exported_model, forward, model_folder
from volsynth.pretrained import detectors
from volsynth.runs import restoring
from volsynth.tasks import Task
from volsynth.train import run_record


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of an evaluation: what is scored beside the task's own scores, and what is drawn.

    Attributes:
      gallery: number of pairs in each gallery; 0 for none.
      sorted_by: the score by which the best and the worst are found; empty for the task's own.
      estimator: workdir of a pose estimator, or an exported one, for PoseEst; empty for none.
      lpips: files of LPIPS's weights by network, "alex" or "vgg".
      inception: file of Inception-v3's weights; empty for none.
      builtin_features: whether the whole set is compared by the built-in features.
      detector: an ONNX file with a detector; empty for none.
      detector_options: values for `volsynth.pretrained.detectors.Options`, by name.
      save_images: folder for everything that was generated, as PNG; None for nowhere.
    """

    gallery: int = 12
    sorted_by: str = ""
    estimator: str = ""
    lpips: Mapping[str, str] = dataclasses.field(default_factory=dict)
    inception: str = ""
    builtin_features: bool = False
    detector: str = ""
    detector_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    save_images: pathlib.Path | None = None


def make_scorers(
    task: Task, data: prepared.Prepared, options: Options, extra: tuple[str, ...], total: int
) -> list[ImageScorer | SetScorer]:
    """The scorers that the options ask for, and those that are always there.

    Args:
      task: the task that is scored; without pictures it has no scorers beside its own scores.
      data: the data set, for the size of its images.
      options: what was asked for.
      extra: names of fields that batches hold beyond the usual ones.
      total: number of pairs.

    Raises:
      UserError: options that do not go together, or one that cannot be met.
    """
    if task.images is None:
        _refuse_pictures(options)
        return []
    if options.detector_options and not options.detector:
        raise UserError("--detector-option is for --detector; give both.")
    # The order is that of the columns of the table of results.
    made: list[ImageScorer | SetScorer | None] = []
    if options.estimator:
        made.append(pose_estimator(options.estimator, data))
    made += [scorers.lpips(path, network) for network, path in options.lpips.items()]
    if options.inception:
        made.append(set_scorers.inception(options.inception, total))
    if options.builtin_features:
        made.append(set_scorers.builtin_features(total))
    if options.detector:
        made.append(scorers.detector(options.detector, _detector_options(options)))
    # Part labels are the only further field that an evaluation asks for.
    if extra:
        made.append(scorers.occlusion_state())
    made.append(scorers.published_ssim(data.image_size))
    return [scorer for scorer in made if scorer is not None]


def _refuse_pictures(options):
    """Raises UserError where an option is given that needs pictures."""
    given = {
        "--estimator": options.estimator,
        "--lpips": options.lpips,
        "--inception": options.inception,
        "--builtin-features": options.builtin_features,
        "--detector": options.detector,
        "--save-images": options.save_images,
    }
    for name, value in given.items():
        if value:
            raise UserError(f"{name} is for systems that make pictures; this one makes none.")


def _detector_options(options):
    """The detector's options, checked here so that error lines name the command's option."""
    known = {field.name for field in dataclasses.fields(detectors.Options)}
    for name in options.detector_options:
        if name not in known:
            raise UserError(f"--detector-option {name!r}: {did_you_mean(name, known)}")
    # There is no default: detectors count their classes differently.
    if "person" not in options.detector_options:
        raise UserError(
            "--detector needs the class of persons, as the detector counts: "
            "--detector-option person=15 for Pascal VOC with the background as 0."
        )
    try:
        return detectors.Options(**options.detector_options)
    except (TypeError, ValueError) as error:
        given = ", ".join(f"{k}={v}" for k, v in options.detector_options.items())
        raise UserError(f"--detector-option: {given}: values of wrong kinds ({error}).") from error


def pose_estimator(path: str, data: prepared.Prepared) -> ImageScorer:
    """The scorer PoseEst, by a run of the project's pose estimator or by an exported one.

    Args:
      path: workdir of the run, or folder of the exported model.
      data: the data set, for the size of its images.

    Raises:
      UserError: there is none at `path`, it finds no poses, it does not look at pictures alone, or
        images have another size.
    """
    if model_folder.is_model(pathlib.Path(path)):
        model = exported_model.load(path)
        config, parameters, estimate = model.config, model.parameters, model.predict
        task, inputs = model.task, model.inputs
        trained_on = model.card["trained_on"]["identity"]
    else:
        config, _, system, _, averages = restoring.restore_weights(pathlib.Path(path))
        task, inputs = system.task, forward.used_inputs(system, config.data.image_size)
        make = restoring.predictor(system)
        parameters = forward.by_name(averages)
        trained_on = run_record.read_run(pathlib.Path(path))["data"]

        def estimate(batch):
            return make(averages, batch)

    if task != "pose":
        raise UserError(
            f"--estimator {path} is of {config.system}, which finds no poses; give one of "
            f"configs/pose_estimator.py."
        )
    if not forward.is_estimator(task, inputs):
        raise UserError(
            f"--estimator {path} is of {config.system}, which reads {', '.join(inputs)}: it would "
            "be told the true joints. Give a system that reads the picture alone, such as one of "
            "configs/pose_estimator.py."
        )
    # Images are never resized for an estimator: its score would depend on how that is done.
    if config.data.image_size != data.image_size:
        raise UserError(
            f"--estimator {path} was trained on images of {config.data.image_size} pixels; "
            f"those to score have {data.image_size}."
        )
    identity = {
        "system": config.system,
        "weights_sha256": sha256_of_arrays(parameters),
        "trained_on": f"{config.data.name}/{config.data.config} {trained_on}",
        "precision": config.precision,
        "model": config_to_dict(config)["model"],
    }
    return scorers.pose_estimator(estimate, identity)


def sha256_of_arrays(arrays: Mapping[str, Any]) -> str:
    """SHA-256 of the names, dtypes, shapes and bytes of arrays, in the order of their names."""
    digest = hashlib.sha256()
    # Sorted, as the order of a dict is no part of what the weights are.
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
