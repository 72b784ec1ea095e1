"""Contact sheets of a prepared data set: its pictures, and the skeletons drawn over them."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from volsynth import conventions, skeleton
from volsynth.data import augment, decoding, mixture, pipeline, prepared
from volsynth.images import draw, grids


def contact_sheet(split: prepared.Split, count: int, seed: int = 0, cell: int = 128) -> Image.Image:
    """Draws random records: the picture, the skeleton over it, and part labels if there are any.

    Args:
      split: the split whose records are drawn.
      count: the number of records, three to a row; at most as many as the split has.
      seed: decides which records are drawn.
      cell: the side of a picture in the table, in pixels.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, 2]))
    numbers = np.sort(rng.permutation(split.records)[:count])
    # Labels of parts are optional in a data set.
    fields = ["image", "joints_px", "visible"]
    titles = ["picture", "joints"]
    if "parts" in decoding.stored_fields(split, numbers[0]):
        fields, titles = [*fields, "parts"], [*titles, "parts"]
    record = decoding.read_fields(split, numbers, fields)
    cells = []
    for i, image in enumerate(record["image"]):
        cells.append(
            [image, draw.overlay_skeleton(image, record["joints_px"][i], record["visible"][i])]
        )
        if "parts" in record:
            cells[-1].append(draw.PART_COLOURS[record["parts"][i, ..., 0]])
    return _table(cells, titles, 3, cell)


def training_sheet(
    split: mixture.Split,
    augmentation: augment.Augment,
    count: int,
    seed: int = 0,
    single: float = 0.0,
    cell: int = 128,
) -> Image.Image:
    """Draws augmented pairs as training sees them: sources, targets and their skeletons.

    The pairs are the batch of step 0 of a run with this seed and this batch size.

    Args:
      split: the split whose pairs are drawn.
      augmentation: how images and poses are changed.
      count: the number of pairs, two to a row.
      seed: the seed of the run.
      single: the share of pairs whose target is the source.
      cell: the side of a picture in the table, in pixels.
    """
    # From the pipeline itself, so that the sheet cannot differ from what training sees.
    (batch,) = pipeline.training_batches(
        split, seed, count, 0, 1, single, augmentation=augmentation
    )
    cells = []
    for i in range(count):
        cells.append([])
        for role in ("source", "target"):
            image = conventions.to_uint8(batch[f"{role}_image"][i])
            joints, visible = batch[f"{role}_joints"][i], batch[f"{role}_visible"][i]
            cells[-1] += [image, draw.overlay_skeleton(image, joints, visible)]
    return _table(cells, ["source", "joints", "target", "joints"], 2, cell)


def named_joints(split: prepared.Split, seed: int = 0, side: int = 560) -> Image.Image:
    """Draws one random record, large, with its skeleton and the name of every joint beside it.

    Args:
      split: the split that the record is from.
      seed: decides which record is drawn.
      side: the side of the picture in pixels; the names take a third of that on both sides.
    """
    number = int(np.random.Generator(np.random.Philox(key=[seed, 2])).integers(split.records))
    record = decoding.read_fields(split, [number], ["image", "joints_px", "visible"])
    small, joints = record["image"][0], record["joints_px"][0]
    scale = side / small.shape[0]
    # Nearest neighbours, which show the pixels as they are stored.
    large = np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.NEAREST))
    joints = joints * scale
    large = draw.overlay_skeleton(large, joints, record["visible"][0])
    width = side // 3
    sheet = Image.new("RGB", (side + 2 * width, side), draw.WHITE)
    sheet.paste(Image.fromarray(large), (width, 0))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=side // 32)
    # The left half of the joints is named on the left, from the top down, so that lines from names
    # to joints hardly cross.
    order = np.argsort(joints[:, 0], kind="stable")
    half = (len(order) + 1) // 2
    for left, members in ((True, order[:half]), (False, order[half:])):
        for rank, joint in enumerate(sorted(members, key=lambda j: joints[j, 1])):
            y = side * (rank + 0.5) / len(members)
            x = width - 8 if left else width + side + 8
            name = f"{joint} {skeleton.JOINTS[joint]}"
            pen.text((x, y), name, draw.NEUTRAL, font, anchor="rm" if left else "lm")
            end = (float(joints[joint, 0] + width), float(joints[joint, 1]))
            pen.line([(x + (4 if left else -4), y), end], draw.NEUTRAL, 1)
    return sheet


def _table(cells, titles, columns, cell):
    """A table with several groups of pictures to a row, all under the same titles."""
    columns = min(columns, len(cells))
    # The last row is filled up with white pictures.
    blank = [np.full_like(cells[0][0], 255)] * len(titles)
    cells += [blank] * (-len(cells) % columns)
    rows = [
        [picture for group in cells[i : i + columns] for picture in group]
        for i in range(0, len(cells), columns)
    ]
    return grids.grid(rows, titles * columns, cell=cell)
