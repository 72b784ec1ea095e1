"""Data sets in another size than the training's, for models that take pictures of any size."""

from typing import Any

from volsynth import progress
from volsynth.data import prepared, verify
from volsynth.errors import UserError


def open_size(
    config: Any, data_dir: str, size: int, size_step: int, split_name: str
) -> prepared.Prepared:
    """The data set that a model was trained on, with pictures of another size, verified.

    It is the configuration of the data set that is named by the size, such as `posed_people/256`.

    Args:
      config: the section `data` of the training's config.
      data_dir: folder of the data sets.
      size: side of the pictures, in pixels.
      size_step: number of pixels of which the model's pictures are a multiple; 0 where it takes no
        other size than its own.
      split_name: name of the split that is scored; that of the training is verified, too.

    Raises:
      UserError: the model takes no pictures of that size, or there is no such data set.
    """
    if not size_step and size != config.image_size:
        raise UserError(
            f"--size must be {config.image_size}, got {size}: this system makes pictures of one "
            "size; configs/reprojection.py makes any."
        )
    if size < config.image_size or (size_step and size % size_step):
        raise UserError(
            f"--size must be a multiple of {size_step} from {config.image_size} on, got {size}."
        )
    data = prepared.open_prepared(data_dir, config.name, str(size))
    if data.image_size != size:
        raise UserError(
            f"{data.folder} has pictures of {data.image_size} pixels; --size {size} asks for a "
            "configuration of that name with pictures of that size."
        )
    verify.verify(data, (split_name, "train"), progress.say)
    return data
