"""What an evaluation is asked for beside its task's own scores, and the instruments for it."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from volsynth.config import config_to_dict
from volsynth.data import prepared
from volsynth.errors import UserError, did_you_mean
from volsynth.evaluation import scorers
from volsynth.evaluation.scorers import Instrument, SetInstrument
from volsynth.export import exported_model, model_folder
from volsynth.pretrained import detectors
from volsynth.runs import restoring
from volsynth.tasks import Task
from volsynth.train import run_record


@dataclasses.dataclass(frozen=True)
class Options:
    """What else is scored, and what is drawn.

    Attributes:
      gallery: pairs in each gallery; 0 for none.
      sorted_by: the score by which the best and the worst are found; empty for the task's own.
      estimator: workdir of a pose estimator, or an exported one, for PoseEst; empty for none.
      lpips: files of LPIPS's weights by network, "alex" or "vgg".
      inception: file of Inception-v3's weights; empty for none.
      builtin_features: whether the whole set is compared by the built-in features.
      detector: an ONNX file; empty for none.
      detector_options: of `volsynth.pretrained.detectors.Options`.
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


def choose(
    task: Task, data: prepared.Prepared, options: Options, extra: tuple[str, ...], total: int
) -> list[Instrument | SetInstrument]:
    """The instruments that the options ask for, and those that need no asking.

    There are none where nothing is a picture. `extra` names what batches hold beyond the usual;
    `total` is the number of pairs.

    Raises:
      UserError: options that do not go together, or one that cannot be met.
    """
    asked = {
        "--estimator": options.estimator,
        "--lpips": options.lpips,
        "--inception": options.inception,
        "--builtin-features": options.builtin_features,
        "--detector": options.detector,
        "--save-images": options.save_images,
    }
    if task.images is None:
        for name, value in asked.items():
            if value:
                raise UserError(f"{name} is for systems that make pictures; this one makes none.")
        return []
    if options.detector_options and not options.detector:
        raise UserError("--detector-option is for --detector; give both.")
    tools: list[Instrument | SetInstrument | None] = []
    if options.estimator:
        tools.append(estimator(options.estimator, data))
    tools += [scorers.lpips(path, network) for network, path in options.lpips.items()]
    if options.inception:
        tools.append(scorers.inception(options.inception, total))
    if options.builtin_features:
        tools.append(scorers.builtin_features(total))
    if options.detector:
        tools.append(scorers.detector(options.detector, _detector_options(options)))
    if extra:
        tools.append(scorers.occlusion_state())
    tools.append(scorers.published_ssim(data.image_size))
    return [tool for tool in tools if tool is not None]


def _detector_options(options):
    known = {field.name for field in dataclasses.fields(detectors.Options)}
    for name in options.detector_options:
        if name not in known:
            raise UserError(f"--detector-option {name!r}: {did_you_mean(name, known)}")
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


def estimator(path: str, data: prepared.Prepared) -> Instrument:
    """PoseEst by a run of the project's pose estimator, or by an exported one.

    Raises:
      UserError: there is none at `path`, it finds no poses, or images have another size.
    """
    if model_folder.is_model(pathlib.Path(path)):
        model = exported_model.load(path)
        task, config, parameters = model.task, model.config, model.parameters
        estimate = model.predict
        trained_on = model.card["trained_on"]["identity"]
    else:
        config, _, system, _, averages = restoring.restore_weights(pathlib.Path(path))
        task, make = system.task, restoring.predictor(system)
        parameters = exported_model.by_name(averages)
        trained_on = run_record.read_run(pathlib.Path(path))["data"]

        def estimate(batch):
            return make(averages, batch)

    if task != "pose":
        raise UserError(
            f"--estimator {path} is of {config.system}, which finds no poses; give one of "
            f"configs/pose_estimator.py."
        )
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
    """SHA-256 of the names, dtypes, shapes and bytes of some arrays, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
