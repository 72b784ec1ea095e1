"""Augmentation of the fields of a batch, each as `Field.augmented` says; above all of its pictures.

Images, masks and labels are moved in the plane, images are recoloured and partly covered. That is
stateless TensorFlow, to be run eagerly or in a graph; what is done comes from `augment.draw`.
Coordinates are those of the whole package: the centre of the pixel in row i and column j lies at
(j + 0.5, i + 0.5).
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from volsynth import conventions
from volsynth.data.augment import Augment, AugmentParams, move_points, turn_directions
from volsynth.fields import OF_A_PICTURE


def with_needed(settings: Augment, kinds: Sequence[str]) -> tuple[str, ...]:
    """Kinds of fields, with those that are needed to change them: images need their mask.

    Args:
      settings: the largest changes.
      kinds: names in `fields.OF_A_PICTURE`.
    """
    needs_mask = settings.moves or settings.colours
    if needs_mask and "mask" not in kinds and any(_treated(kind) == "image" for kind in kinds):
        return (*kinds, "mask")
    return tuple(kinds)


def apply(
    settings: Augment, values: Mapping[str, np.ndarray], params: AugmentParams, side: int
) -> dict[str, np.ndarray]:
    """Changes the fields of N pictures, each as `Field.augmented` says.

    Args:
      settings: the settings with which the parameters were drawn.
      values: fields by kind, see `fields.OF_A_PICTURE`, each [N, ...]; those that `with_needed`
        names must be among them.
      params: changes of each picture.
      side: side of the pictures, pixels.

    Returns:
      The same kinds of fields.
    """
    changed = dict(values)
    kinds = tuple(kind for kind in values if _treated(kind) in ("image", "mask", "labels"))
    if kinds:
        pictures = _graph(settings, kinds)({kind: values[kind] for kind in kinds}, params)
        changed |= {kind: picture.numpy() for kind, picture in pictures.items()}
    if settings.moves:
        for kind, value in values.items():
            if _treated(kind) == "points":
                changed[kind] = move_points(value, params, side)
            elif _treated(kind) == "directions":
                changed[kind] = turn_directions(value, params)
    return changed


def _treated(kind):
    return OF_A_PICTURE[kind].augmented


# A graph is quicker than one call after the other, and is made once for all batches.
@functools.cache
def _graph(settings, kinds):
    """`change_pictures` as one graph for any number of pictures of any size."""
    import tensorflow as tf

    def spec(dtype, *axes):
        return tf.TensorSpec([None, *axes], dtype)

    def axes(kind):
        return [axis if isinstance(axis, int) else None for axis in OF_A_PICTURE[kind].axes]

    number, pair, flag = spec(tf.float64), spec(tf.float64, 2), spec(tf.bool)
    params = AugmentParams(
        *(number, pair, number),
        *(number, number, number, number),
        *(flag, pair, pair, flag, flag, spec(tf.float64, 3), spec(tf.int32, 2)),
    )
    pictures = {kind: spec(OF_A_PICTURE[kind].dtype, *axes(kind)) for kind in kinds}
    return tf.function(
        functools.partial(change_pictures, settings), input_signature=[pictures, params]
    )


def change_pictures(
    settings: Augment, pictures: Mapping[str, Any], params: AugmentParams
) -> dict[str, Any]:
    """Changes images, masks and labels; stateless TensorFlow, to be run eagerly or in a graph.

    Interpolation is bilinear among pixels of the person, so that no magenta gets into the edge;
    masks and labels take the nearest pixel. What is not person is magenta, exactly, and stays so;
    only occluders cover it, too.

    Args:
      settings: the settings with which the parameters were drawn; nothing is computed for those
        that are zero.
      pictures: by kind images [N, S, S, 3] float32 in [-1, 1], magenta outside of the mask; masks
        [N, S, S] bool, the person; labels [N, S, S], 0 outside of the person.
      params: changes of each of N pictures.

    Returns:
      The same kinds, in the same form.
    """
    import tensorflow as tf  # Late: it takes seconds, and drawing does without.

    changed, backward = dict(pictures), None
    if settings.moves:
        side = tf.shape(next(iter(pictures.values())))[1]
        backward = _backward(tf, params, side)
        for kind, value in pictures.items():
            if _treated(kind) in ("mask", "labels"):
                changed[kind] = _nearest(tf, value, backward)
    for kind, value in pictures.items():
        if _treated(kind) == "image":
            masks = pictures.get("mask"), changed.get("mask")
            changed[kind] = _image(tf, settings, value, *masks, backward, params)
    return changed


def _image(tf, settings, images, masks, moved, backward, params):
    """Changed images; `masks` are those of the images as they were, `moved` the same after that."""
    # Most of a picture is background: colours are computed where the person is, and nowhere else.
    # Every operation rounds each value by itself, so that neither other rows of the batch nor the
    # place among them can change a bit.
    if settings.moves:
        places = tf.where(moved)
        colours = _bilinear(tf, images, masks, backward, places)
        images = tf.zeros_like(images) + tf.constant(conventions.BACKGROUND, tf.float32)
    elif settings.colours:
        places = tf.where(masks)
        colours = tf.gather_nd(images, places)
    if settings.colours:
        colours = _recoloured(tf, settings, colours, params, places[:, 0])
    if settings.moves or settings.colours:
        images = tf.tensor_scatter_nd_update(images, places, colours)
    if settings.occlude:
        images = _covered(tf, images, params)
    return images


def _backward(tf, params, side):
    """The maps from pixels to where they come from, [N, 6], about the image's centre h.

    Rows of x = h + M (x' - h - t), counted from the centre of the first pixel, which the package
    has at (0.5, 0.5).
    """
    side = tf.cast(side, tf.float64)
    cos, sin = tf.cos(params.angle) / params.factor, tf.sin(params.angle) / params.factor
    h = (side - 1) / 2
    x, y = h + side * params.shift[:, 0], h + side * params.shift[:, 1]
    rows = [cos, sin, h - cos * x - sin * y, -sin, cos, h + sin * x - cos * y]
    return tf.cast(tf.stack(rows, axis=1), tf.float32)


def _nearest(tf, labels, backward):
    """Masks or labels [N, S, S], moved; 0 or False comes in from outside."""
    labels = tf.convert_to_tensor(labels)
    # The transformation takes few dtypes, uint16 not among them; int32 holds its values.
    dtype = tf.uint8 if labels.dtype in (tf.bool, tf.uint8) else tf.int32
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(labels, dtype)[..., None],
        # The two last numbers of a projective map are zero for an affine one.
        transforms=tf.pad(backward, [[0, 0], [0, 2]]),
        output_shape=tf.shape(labels)[1:],
        interpolation="NEAREST",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )[..., 0]
    return tf.cast(moved, labels.dtype)


def _bilinear(tf, images, masks, backward, places):
    """Colours [P, 3] at places [P, 3] (image, row, column), mixed from the person's pixels only."""
    side = tf.shape(images, out_type=tf.int64)[1]
    image, row, column = tf.unstack(places, axis=1)
    across, down = tf.cast(column, tf.float32), tf.cast(row, tf.float32)
    a, b, c, d, e, f = tf.unstack(tf.gather(backward, image), axis=1)
    x, y = a * across + b * down + c, d * across + e * down + f
    left, top = tf.floor(x), tf.floor(y)
    flat_images, flat_masks = tf.reshape(images, [-1, 3]), tf.reshape(masks, [-1])

    def pixel(right, below):
        """Colour and share of the person, [P, 4], in one of the four pixels around each place."""
        column, row = tf.cast(left, tf.int64) + right, tf.cast(top, tf.int64) + below
        within = (column >= 0) & (column < side) & (row >= 0) & (row < side)
        index = tf.where(within, (image * side + row) * side + column, 0)
        person = within & tf.gather(flat_masks, index)
        colour = tf.where(person[:, None], tf.gather(flat_images, index), 0.0)
        return tf.concat([colour, tf.cast(person, tf.float32)[:, None]], axis=1)

    # Two by two: a graph adds up more than two in whichever order is at hand when it runs.
    x, y = (x - left)[:, None], (y - top)[:, None]
    above = (1 - x) * pixel(0, 0) + x * pixel(1, 0)
    under = (1 - x) * pixel(0, 1) + x * pixel(1, 1)
    total, share = tf.split((1 - y) * above + y * under, [3, 1], axis=1)
    return tf.clip_by_value(tf.math.divide_no_nan(total, share), -1, 1)


def _recoloured(tf, settings, colours, params, image):
    """Changed colours [P, 3] of pixels that belong to the images with these numbers [P]."""

    def each(values):
        return tf.gather(tf.cast(values, tf.float32), image)[:, None]

    if settings.hue or settings.saturation:
        hue, saturation = each(params.hue), each(params.saturation)
        # By how much red, green and blue are turned. Added up before it is gathered: a graph may
        # change the order of a sum, and with it the last bit.
        turn = tf.cast(6 * params.hue[:, None] + [5.0, 3.0, 1.0], tf.float32)
        turn = tf.gather(turn, image)
        converted = _turned(tf, (colours + 1) / 2, turn, saturation) * 2 - 1
        # There and back is not exact; what is not to change does not.
        colours = tf.where((hue == 0) & (saturation == 1), colours, converted)
    colours = colours * each(params.contrast) + 2 * each(params.brightness)
    return tf.clip_by_value(colours, -1, 1)


def _turned(tf, colours, turn, saturation):
    """RGB [P, 3] in [0, 1] with another hue and saturation of HSV, at the same value.

    With `turn` of 5, 3 and 1 sixths of the circle for red, green and blue the hue stays.
    """
    red, green, blue = tf.split(colours, 3, axis=1)
    value = tf.reduce_max(colours, axis=1, keepdims=True)
    chroma = value - tf.reduce_min(colours, axis=1, keepdims=True)
    # In sixths of the circle: which of the three is largest, and how the others differ.
    sixth = tf.where(
        value == red,
        tf.math.divide_no_nan(green - blue, chroma),
        tf.where(
            value == green,
            2 + tf.math.divide_no_nan(blue - red, chroma),
            4 + tf.math.divide_no_nan(red - green, chroma),
        ),
    )
    chroma = tf.minimum(chroma * saturation, value)
    k = sixth + turn
    # Not tf.math.floormod, which rounds otherwise at the end of an array than within.
    k -= 6 * tf.floor(k * (1 / 6))
    return value - chroma * tf.clip_by_value(tf.minimum(k, 4 - k), 0, 1)


def _covered(tf, images, params):
    """Images with their occluders."""
    side = tf.shape(images)[1]
    places = (tf.range(side, dtype=tf.float32) + 0.5) / tf.cast(side, tf.float32)

    def each(values):
        return tf.cast(values, tf.float32)[:, None, None]

    across = tf.abs(places - each(params.centre[:, 0])) / each(params.extent[:, 0])
    down = tf.abs(places[:, None] - each(params.centre[:, 1])) / each(params.extent[:, 1])
    ellipse, box = across**2 + down**2 < 1, (across < 1) & (down < 1)
    inside = tf.where(params.round[:, None, None], ellipse, box) & params.covered[:, None, None]
    shape = [side, side, 3]

    def filling(given):
        # A stream for each image, so that its noise does not depend on its neighbours.
        seed, noisy, colour = given
        return tf.cond(
            noisy,
            lambda: tf.random.stateless_uniform(shape, seed, -1, 1, alg="philox"),
            lambda: tf.broadcast_to(tf.cast(colour, tf.float32), shape),
        )

    fillings = tf.map_fn(
        filling,
        (params.noise, params.noisy & params.covered, params.colour),
        fn_output_signature=tf.TensorSpec([None, None, 3], tf.float32),
    )
    return tf.where(inside[..., None], fillings, images)
