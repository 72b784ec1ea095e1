"""First steps of training and of restoring a run: its data is opened and verified."""

from typing import Any

from volsynth import progress
from volsynth.data import pipeline, prepared, verify
from volsynth.errors import UserError


def open_data(config: Any) -> prepared.Prepared:
    """The data set that a config names.

    Args:
      config: the whole config; its section `data` is read.

    Raises:
      UserError: there is no such data set, its images have another size, or the number of threads
        that read it is not allowed.
    """
    data = prepared.open_prepared(config.data.dir, config.data.name, config.data.config)
    if data.image_size != config.data.image_size:
        raise UserError(
            f"{data.folder} has images of {data.image_size} pixels, config.data.image_size is "
            f"{config.data.image_size}; change it, or config.data.config."
        )
    # Only checked: a wrong number should show before files of gigabytes are verified.
    pipeline.thread_count(config.data.threads)
    return data


def verify_splits(config: Any, data: prepared.Prepared, *names: str) -> None:
    """Checks that the files of some splits are there and undamaged, before the work begins.

    Args:
      config: the whole config; without `data.verify` only the existence of the splits is checked.
      data: the data set.
      names: names of the splits.

    Raises:
      UserError: a split is not there, or one of its files is missing or damaged.
    """
    if config.data.verify:
        verify.verify(data, names, progress.say)
    else:
        for name in names:
            data.split(name)
