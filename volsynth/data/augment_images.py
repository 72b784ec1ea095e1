"""Augmentation of pixels: images and masks moved in the plane, recoloured, partly covered.

Stateless TensorFlow, eagerly or in a graph; what is done comes from `augment.draw`. Coordinates
are those of the whole package: the centre of the pixel in row i and column j lies at
(j + 0.5, i + 0.5).
"""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from volsynth import conventions
from volsynth.data.augment import Augment, Draws, poses


def pixels(settings: Augment, images: Any, masks: Any, draws: Draws) -> tuple[Any, Any]:
    """Images and masks, changed; stateless TensorFlow, to be run eagerly or in a graph.

    Interpolation is bilinear among pixels of the person, so that no magenta gets into the edge;
    masks take the nearest pixel. What is not person is magenta, exactly, and stays so; only
    occluders cover it, too.

    Args:
      settings: what is left out: where nothing is asked for, nothing is computed.
      images: [N, S, S, 3] float32 in [-1, 1], magenta outside of the mask.
      masks: [N, S, S] bool, the person.
      draws: what is done, of N images.

    Returns:
      Both, in the same form.
    """
    import tensorflow as tf  # Late: it takes seconds, and drawing does without.

    # Most of a picture is background: colours are computed where the person is, and nowhere else.
    # Every operation rounds each value by itself, so that neither other rows of the batch nor the
    # place among them can change a bit.
    if settings.moves:
        backward = _backward(tf, draws, tf.shape(images)[1])
        moved = _nearest(tf, masks, backward)
        places = tf.where(moved)
        colours = _bilinear(tf, images, masks, backward, places)
        masks, images = (
            moved,
            tf.zeros_like(images) + tf.constant(conventions.BACKGROUND, tf.float32),
        )
    elif settings.colours:
        places = tf.where(masks)
        colours = tf.gather_nd(images, places)
    if settings.colours:
        colours = _recoloured(tf, settings, colours, draws, places[:, 0])
    if settings.moves or settings.colours:
        images = tf.tensor_scatter_nd_update(images, places, colours)
    if settings.occlude:
        images = _covered(tf, images, draws)
    return images, masks


def change(
    settings: Augment, values: Mapping[str, np.ndarray], draws: Draws
) -> dict[str, np.ndarray]:
    """The fields of a batch, changed; see `pixels` and `poses`.

    Args:
      settings: of the draws.
      values: image, mask, joints, joints_mm and others, each [N, ...].
      draws: what is done.
    """
    image, mask = _graph(settings)(values["image"], values["mask"], draws)
    changed = {**values, "image": image.numpy(), "mask": mask.numpy()}
    if settings.moves:
        changed["joints"], changed["joints_mm"] = poses(
            values["joints"], values["joints_mm"], draws, values["image"].shape[1]
        )
    return changed


@functools.cache
def _graph(settings):
    """`pixels` as one graph for any number of images of any size."""
    import tensorflow as tf

    def spec(dtype, *axes):
        return tf.TensorSpec([None, *axes], dtype)

    number, pair, flag = spec(tf.float64), spec(tf.float64, 2), spec(tf.bool)
    draws = Draws(
        *(number, pair, number),
        *(number, number, number, number),
        *(flag, pair, pair, flag, flag, spec(tf.float64, 3), spec(tf.int32, 2)),
    )
    signature = [spec(tf.float32, None, None, 3), spec(tf.bool, None, None), draws]
    return tf.function(functools.partial(pixels, settings), input_signature=signature)


def _backward(tf, draws, side):
    """Where pixels come from: [N, 6], rows of x = h + M (x' - h - t), h the centre of the image.

    Counted from the centre of the first pixel, which the package has at (0.5, 0.5).
    """
    side = tf.cast(side, tf.float64)
    cos, sin = tf.cos(draws.angle) / draws.factor, tf.sin(draws.angle) / draws.factor
    h = (side - 1) / 2
    x, y = h + side * draws.shift[:, 0], h + side * draws.shift[:, 1]
    rows = [cos, sin, h - cos * x - sin * y, -sin, cos, h + sin * x - cos * y]
    return tf.cast(tf.stack(rows, axis=1), tf.float32)


def _nearest(tf, masks, backward):
    return (
        tf.raw_ops.ImageProjectiveTransformV3(
            images=tf.cast(masks, tf.uint8)[..., None],
            # Of a projective map the last two are zero.
            transforms=tf.pad(backward, [[0, 0], [0, 2]]),
            output_shape=tf.shape(masks)[1:],
            interpolation="NEAREST",
            fill_mode="CONSTANT",
            fill_value=0.0,
        )[..., 0]
        > 0
    )


def _bilinear(tf, images, masks, backward, places):
    """Colours [P, 3] at places [P, 3], each (image, row, column), of the pixels of the person."""
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


def _recoloured(tf, settings, colours, draws, image):
    """Colours [P, 3] of pixels that belong to these images [P]."""

    def each(values):
        return tf.gather(tf.cast(values, tf.float32), image)[:, None]

    if settings.hue or settings.saturation:
        hue, saturation = each(draws.hue), each(draws.saturation)
        # By how much red, green and blue are turned. Added up before it is gathered: a graph may
        # change the order of a sum, and with it the last bit.
        turn = tf.cast(6 * draws.hue[:, None] + [5.0, 3.0, 1.0], tf.float32)
        turn = tf.gather(turn, image)
        converted = _turned(tf, (colours + 1) / 2, turn, saturation) * 2 - 1
        # There and back is not exact; what is not to change does not.
        colours = tf.where((hue == 0) & (saturation == 1), colours, converted)
    colours = colours * each(draws.contrast) + 2 * each(draws.brightness)
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


def _covered(tf, images, draws):
    side = tf.shape(images)[1]
    places = (tf.range(side, dtype=tf.float32) + 0.5) / tf.cast(side, tf.float32)

    def each(values):
        return tf.cast(values, tf.float32)[:, None, None]

    across = tf.abs(places - each(draws.centre[:, 0])) / each(draws.extent[:, 0])
    down = tf.abs(places[:, None] - each(draws.centre[:, 1])) / each(draws.extent[:, 1])
    ellipse, box = across**2 + down**2 < 1, (across < 1) & (down < 1)
    inside = tf.where(draws.round[:, None, None], ellipse, box) & draws.covered[:, None, None]
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
        (draws.noise, draws.noisy & draws.covered, draws.colour),
        fn_output_signature=tf.TensorSpec([None, None, 3], tf.float32),
    )
    return tf.where(inside[..., None], fillings, images)
