"""What `volsynth evaluate` does: runs, exported models and folders of pictures become scores."""

import contextlib
import functools
import math
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, Literal

import jax
import numpy as np

import volsynth
from volsynth import tasks
from volsynth.conventions import MAGENTA
from volsynth.data import decoding, mixture, pairing, pipeline, prepared, verify
from volsynth.errors import UserError, did_you_mean
from volsynth.evaluation import compute_scores, pair_lists, picture_folders, record, scorer_options
from volsynth.evaluation.scorer_options import Options
from volsynth.evaluation.scorers import SetInstrument
from volsynth.export import exported_model
from volsynth.fields import PAIR
from volsynth.images import draw
from volsynth.metrics import intervals
from volsynth.results import result_files
from volsynth.results.protocol import ALL, Protocol, sha256_of_pairs
from volsynth.runs import opening, restoring
from volsynth.system import Batch
from volsynth.tasks import Task, gallery
from volsynth.train import run_log

AS_MADE = "none: float32 as the network made it"

_SEED = 0
"""Of the choice of sources: pairs are the same in every evaluation."""

_USUAL = Options()


def evaluate_run(
    workdir: pathlib.Path,
    split_name: str,
    step: int | Literal["best"] | None = None,
    data_dir: str | None = None,
    out: pathlib.Path | None = None,
    options: Options = _USUAL,
) -> dict[str, Any]:
    """Scores a run's averaged weights on a whole split; writes results and galleries.

    `step` is that of the checkpoint, "best" for the best by `config.train.best_by`; without one the
    newest good checkpoint is taken. Everything goes to `out`, or `evaluate-SPLIT` in the workdir.

    Returns:
      What `results.make` returns, with "notes", "step", "of" and "galleries".

    Raises:
      UserError: the workdir holds no run or no checkpoint, the data is another one, or an option
        cannot be met.
    """
    config, data, system, step, averages = restoring.restore(
        workdir, (split_name, "train"), step, data_dir
    )
    devices, batch_size = _devices(config.evaluate.batch_size)
    place = _placed(devices)
    if devices is not None:
        averages = jax.device_put(averages, _sharding(devices))
    make_one = restoring.predictor(system)

    def make(batch):
        # Scores are computed on one device, whatever made the pictures.
        return jax.device_get(make_one(averages, place(batch)))

    return _evaluate(
        tasks.TASKS[system.task],
        make,
        data,
        split_name,
        batch_size,
        out or workdir / f"evaluate-{split_name}",
        options,
        lambda: {"file_format": AS_MADE, "resize": None},
        notes=dict(system.notes),
        step=step,
        of={"kind": "run", "system": system.name},
    )


def evaluate_model(
    path: pathlib.Path,
    split_name: str,
    data_dir: str | None = None,
    out: pathlib.Path | None = None,
    options: Options = _USUAL,
    batch_size: int = 16,
) -> dict[str, Any]:
    """Scores an exported model on a split of the data that it was trained on.

    Everything goes to `out`, or a folder beside the model's, which may hold nothing but the model:
    MODEL-evaluate-SPLIT. Returns and raises as `evaluate_run`.
    """
    model = exported_model.load(path)
    config = model.config.data
    data = prepared.open_prepared(data_dir or "data", config.name, config.config)
    identity = mixture.main_identity(model.card["trained_on"]["identity"])
    if not data.is_called(identity):
        raise UserError(
            f"{data.folder} is not the data set that {path} was trained on ({data.identity} here, "
            f"{identity} there)."
        )
    verify.verify(data, (split_name, "train"), opening.say)
    return _evaluate(
        tasks.TASKS[model.task],
        lambda batch: jax.device_get(model.predict(batch)),
        data,
        split_name,
        batch_size,
        out or path.with_name(f"{path.resolve().name}-evaluate-{split_name}"),
        options,
        lambda: {"file_format": AS_MADE, "resize": None},
        notes=dict(model.card.get("notes", {})),
        step=model.card.get("step"),
        of={"kind": "model", "system": model.card.get("system"), "program": model.is_program},
    )


def evaluate_images(
    folder: pathlib.Path,
    data: prepared.Prepared,
    split_name: str,
    out: pathlib.Path | None = None,
    options: Options = _USUAL,
    batch_size: int = 16,
) -> dict[str, Any]:
    """Scores pictures that any method made of the pairs of `volsynth data pairs`.

    Everything goes to `out`, or `evaluate-SPLIT` in the folder. Returns and raises as
    `evaluate_run`; a picture that is missing or cannot be read raises UserError, too.
    """
    # Before anything is read: a folder that lacks pictures is the most likely mistake.
    split = data.split(split_name)
    task = tasks.TASKS["image"]
    pairs = pairing.evaluation_pairs(split, _SEED, task.keep_unpaired)
    found = picture_folders.Folder(folder, pairs, data.image_size)
    verify.verify(data, (split_name, "train"), opening.say)
    return _evaluate(
        task,
        found.make,
        data,
        split_name,
        batch_size,
        out or folder / f"evaluate-{split_name}",
        options,
        lambda: {
            "file_format": f"{', '.join(sorted(found.formats))}, 8 bits",
            "resize": found.resize,
        },
        notes={},
        step=None,
        of={"kind": "pictures", "folder": folder.name},
    )


def write_pairs(
    data_dir: str, name: str, config_name: str, split_name: str, out: str
) -> pathlib.Path:
    """Writes the pairs that evaluation scores, with all that another method needs for them.

    Returns:
      The list; see `volsynth.evaluation.pair_lists`.

    Raises:
      UserError: there is no such data set or split, or the folder cannot be written.
    """
    split = prepared.open_prepared(data_dir, name, config_name).split(split_name)
    pairs = pairing.evaluation_pairs(split, _SEED, tasks.TASKS["image"].keep_unpaired)
    with _progress(f"writing {split_name}", len(np.unique(pairs))) as advance:
        return pair_lists.write(split, pairs, out, advance)


def _evaluate(task, make, data, split_name, batch_size, out, options, format_of, **others):
    split = data.split(split_name)
    pairs = pairing.evaluation_pairs(split, _SEED, task.keep_unpaired)
    # Whatever can be wrong shows before the work is done.
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write results to {out}: {error.strerror}.") from error
    extra = _extra(task, split, pairs)
    tools = scorer_options.choose(task, data, options, extra, len(pairs))
    shown = [*task.scores, *(n for tool in tools if _shown(tool) for n in tool.scores)]
    entries = {ALL: task.protocol[ALL]} | {
        name: task.protocol[name] for name in (*task.scores, *task.details) if name in task.protocol
    }
    for tool in tools:
        entries |= tool.protocol
    of_sets = {name for tool in tools if isinstance(tool, SetInstrument) for name in tool.scores}
    by = _sorting(options.sorted_by or task.sorted_by, entries, of_sets)
    make = _saving(make, task, options.save_images)
    trained = task.fit_baselines(data.split("train"), batch_size)
    with _progress(f"scoring {split_name}", len(pairs)) as advance:
        scores = compute_scores.evaluate(
            task,
            make,
            pipeline.evaluation_batches(split, pairs, batch_size, (*PAIR, *extra)),
            trained,
            advance,
            tools,
            len(pairs),
        )
    persons = pair_lists.names_of(split, "person", pairs[:, 1]).tolist()
    protocol = Protocol(_shared(task, data, split_name, pairs) | format_of(), entries)
    names = [pair_lists.stem(*pair) for pair in pairs]
    try:
        digest = record.write_images(out / result_files.IMAGES, names, persons, scores, task.label)
        found = record.make(
            task,
            scores,
            persons,
            protocol,
            shown,
            **others,
            images_sha256=digest,
            estimator=options.estimator,
            code={"version": volsynth.__version__, "commit": run_log.commit()},
        )
        # Before anything is drawn: what was computed stays, whatever happens then.
        result_files.write(out, found)
        if options.gallery > 0:
            values = scores.images[task.label][by]
            sorting = (by, values, entries[by])
            found["galleries"] = _galleries(
                task, make, split, pairs, batch_size, out, options.gallery, sorting
            )
            result_files.write(out, found)
    except OSError as error:
        raise UserError(f"cannot write results to {out}: {error.strerror}.") from error
    return found


def _shared(task: Task, data: prepared.Prepared, split_name: str, pairs) -> dict[str, Any]:
    return {
        "data": f"{data.manifest['name']}/{data.manifest['config']} {data.manifest['version']}",
        "data_identity": data.identity,
        "split": split_name,
        "images": len(pairs),
        "pairs": task.pairs,
        "pairs_sha256": sha256_of_pairs(pairs),
        "image_size": data.image_size,
        "value_range": [-1, 1],
        "background": list(MAGENTA),
        "intervals": intervals.PROTOCOL,
        **task.baselines,
    }


def _galleries(task, make, split, pairs, batch_size, out, count, sorting):
    """Draws an even choice, the best and the worst; {which: file}."""
    by, values, entry = sorting
    chosen = {"gallery": gallery.gallery_pairs(split, _SEED, count, task.keep_unpaired)}
    best, worst = compute_scores.extremes(values, entry["better"], count)
    files, labels = {}, {"gallery": None}
    for which, places in (("worst", worst), ("best", best)):
        chosen[which] = pairs[places]
        labels[which] = [f"{values.value[place]:.3f}" for place in places]
    for which, some in chosen.items():
        if not len(some):
            continue
        batches = pipeline.evaluation_batches(split, some, batch_size)
        picture = gallery.gallery(task, make, batches, labels=labels[which])
        files[which] = str(out / f"{which}.png")
        draw.save_png(files[which], picture)
    return {**files, "sorted_by": by}


def _sorting(by, entries, of_sets):
    """A score that every picture has, and of which it is known what is better."""
    ways = ("higher", "lower")
    known = [n for n, entry in entries.items() if n not in of_sets and entry.get("better") in ways]
    if by not in known:
        raise UserError(f"there is no score {by!r} to sort by: {did_you_mean(by, known)}")
    return by


def _extra(task, split, pairs):
    """What batches hold for scores that not every data set allows."""
    stored = decoding.stored_fields(split, pairs[0, 1]) if task.images else ()
    return ("target_parts",) if "parts" in stored else ()


def _shown(tool):
    return isinstance(tool, SetInstrument) or tool.shown


def _saving(make, task, folder):
    if folder is None:
        return make
    save = picture_folders.saver(folder)

    def make_and_save(batch):
        made = make(batch)
        save(np.asarray(task.images(made)), batch)
        return made

    return make_and_save


def _devices(batch_size: int) -> tuple[jax.sharding.Mesh | None, int]:
    """All devices, where there are several, and a batch that they can share."""
    devices = jax.local_devices()
    if len(devices) == 1:
        return None, batch_size
    mesh = jax.sharding.Mesh(np.array(devices), ("data",))
    return mesh, math.ceil(batch_size / len(devices)) * len(devices)


def _sharding(mesh, *axes):
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes))


def _placed(mesh) -> Callable[[Batch], Batch]:
    if mesh is None:
        return lambda batch: batch
    return functools.partial(jax.device_put, device=_sharding(mesh, "data"))


@contextlib.contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error; yields what moves it on."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(what, total=total)
        yield functools.partial(progress.advance, bar)
