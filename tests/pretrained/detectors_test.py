"""Detectors in ONNX files: every form of outputs and input, against means computed by hand."""

import hashlib
import json
import re

import numpy as np
import pytest
import tiny_detectors as tiny
from onnx import helper
from PIL import Image

from volsynth.errors import UserError
from volsynth.pretrained import detectors
from volsynth.pretrained.detectors import Options

VOC = Options(person=15)

R, G, B = 0.2, 0.4, 0.6
FLAT = np.broadcast_to(np.uint8([51, 102, 153]), (4, 4, 3))
"""Means of R, G and B, as shares of 255: these."""


@pytest.fixture
def load(tmp_path):
    """A detector of a model that was just made."""
    return lambda made, options=VOC: detectors.load(tiny.save(tmp_path / "m.onnx", made), options)


# --- outputs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("class_kind", [np.int64, np.int32, np.float32])
@pytest.mark.parametrize(
    "names",
    [
        ("boxes", "labels", "scores"),
        ("detection_boxes:0", "detection_classes:0", "detection_scores:0"),
        ("b", "cls_label", "confidence"),
    ],
)
def test_the_most_certain_person_counts(load, names, class_kind, rank):
    detector = load(tiny.ssd(names=names, class_kind=class_kind, rank=rank))
    assert detector(FLAT) == pytest.approx(B)
    assert detector.options.style == "ssd"
    assert (detector.options.scores, detector.options.classes) == (names[2], names[1])
    detector = load(tiny.ssd(names=names, class_kind=class_kind, classes=(15, 1, 2), rank=rank))
    assert detector(FLAT) == pytest.approx(R)
    assert load(tiny.ssd(classes=(14, 16, 0)))(FLAT) == 0.0


def test_lists_without_names_are_told_by_their_types(load):
    names = ("a", "b", "c")
    assert load(tiny.ssd(names=names))(FLAT) == pytest.approx(B)
    nothing = re.escape("'a' float32 [1, 3, 4], 'b' float32 [1, 3], 'c' float32 [1, 3]")
    with pytest.raises(UserError, match=f"do not tell what they are: {nothing}"):
        load(tiny.ssd(names=names, class_kind=np.float32))
    for options in (
        Options(15, scores="c", classes="b"),
        Options(15, scores="c", classes="b", style="ssd"),
    ):
        made = tiny.ssd(names=names, class_kind=np.float32)
        assert load(made, options)(FLAT) == pytest.approx(B)
    # The names given go before what names tell.
    crossed = tiny.ssd(names=("scores_of_boxes", "scores", "labels"))
    assert load(crossed, Options(15, scores="labels", classes="scores"))(FLAT) == pytest.approx(B)


def test_what_an_export_offers_besides_is_passed_over(load):
    names = ("detection_boxes", "detection_classes", "detection_scores")
    # Classes are floats, so that types tell nothing.
    made = tiny.ssd(names=names, class_kind=np.float32)
    for name in ("raw_detection_scores", "detection_multiclass_scores"):
        made.graph.node.append(helper.make_node("Identity", ["box values"], [name]))
        made.graph.output.append(helper.make_tensor_value_info(name, tiny.FLOAT, [1, 3, 4]))
    assert load(made)(FLAT) == pytest.approx(B)


# Of two boxes and three classes, which are the means of R, G and B, plainly or halved.
WHOLE, HALF = np.eye(3), np.eye(3) / 2


def _boxes(of_first, of_second):
    """Weights [3, 2, n] and biases [2, n] of what stands in every box's row."""
    weights = np.stack([np.hstack([np.zeros((3, n)), w]) for n, w in (of_first, of_second)], 1)
    return weights, np.hstack([np.full((2, 4), 37.0), np.zeros((2, weights.shape[2] - 4))])


def test_yolov8_has_a_column_for_every_box(load):
    weights, bias = _boxes((4, HALF), (4, WHOLE[[2, 0, 1]]))
    # Of seven columns the other five have confidence 0.
    weights = np.concatenate([weights, np.zeros((3, 6, 7))], axis=1)
    bias = np.concatenate([bias, np.zeros((6, 7))])
    made = tiny.table(weights.swapaxes(1, 2).reshape(3, 56), bias.T.reshape(56), [1, 7, 8])
    for person, want in ((0, G), (1, B), (2, R)):
        detector = load(made, Options(person))
        assert detector.options.style == "yolov8"
        assert detector(FLAT) == pytest.approx(max(want, (R, G, B)[person] / 2))
    with pytest.raises(UserError, match=r"has 3 classes, from 0 on: .* cannot be 3"):
        load(made, Options(3))


def test_yolov5_multiplies_with_the_confidence_in_an_object(load):
    weights, bias = _boxes((5, WHOLE), (5, WHOLE))
    weights = np.concatenate([weights, np.zeros((3, 7, 8))], axis=1)
    bias = np.concatenate([bias, np.zeros((7, 8))])
    bias[:2, 4] = 0.5, 0.25
    made = tiny.table(weights.reshape(3, 72), bias.reshape(72), [1, 9, 8])
    for person, want in ((0, R), (1, G), (2, B)):
        detector = load(made, Options(person))
        assert detector.options.style == "yolov5"
        assert detector(FLAT) == pytest.approx(want / 2)
    with pytest.raises(UserError, match="has 3 classes"):
        load(made, Options(3))


def test_rows_of_box_confidence_and_class(load):
    weights, bias = np.zeros((3, 3, 6)), np.zeros((3, 6))
    weights[:, :, 4] = np.eye(3)
    bias[:, 5] = 0, 15, 0
    made = tiny.table(weights.reshape(3, 18), bias.reshape(18), [1, 3, 6])
    with pytest.raises(UserError, match="do not tell what they are"):
        load(made, Options(0))
    assert load(made, Options(0, style="rows"))(FLAT) == pytest.approx(B)
    assert load(made, Options(15, style="rows"))(FLAT) == pytest.approx(G)
    assert load(made, Options(3, style="rows"))(FLAT) == 0.0


@pytest.mark.parametrize("shape", [[1, 2, 3], [2, 3]])
def test_confidences_of_all_classes(load, shape):
    weights = np.hstack([HALF, WHOLE[[2, 0, 1]]])
    made = tiny.table(weights, np.zeros(6), shape, name="class scores")
    assert load(made, Options(1, style="ssd_dense"))(FLAT) == pytest.approx(B)
    # Beside boxes, nothing else can be meant.
    made.graph.node.append(helper.make_node("Identity", ["weights"], ["boxes"]))
    made.graph.output.append(helper.make_tensor_value_info("boxes", tiny.FLOAT, [3, 6]))
    detector = load(made, Options(0))
    assert detector.options.style == "ssd_dense"
    assert detector(FLAT) == pytest.approx(G)
    with pytest.raises(UserError, match="has 3 classes"):
        load(made, Options(3))


def test_the_shape_of_one_output_may_not_tell(load):
    flat = tiny.table(np.zeros((3, 49)), np.zeros(49), [1, 7, 7])
    free = tiny.table(np.zeros((3, 49)), np.zeros(49), [1, 7, 7], hidden=True)
    for made in (flat, free):
        with pytest.raises(UserError, match=r"Give the style, of ssd, ssd_dense, rows, yolov5"):
            load(made, Options(0))
    assert load(free, Options(0, style="yolov8"))(FLAT) == 0.0


@pytest.mark.parametrize(
    ("style", "shape", "person"),
    [
        ("rows", [1, 3, 7], 0),
        ("rows", [21], 0),
        ("yolov8", [1, 3, 7], 0),
        ("yolov8", [1, 7, 3], 3),
        ("yolov5", [1, 3, 7], 2),
        ("ssd_dense", [1, 3, 7], 7),
        ("yolov8", [3, 7, 1], 0),
    ],
)
def test_outputs_that_turn_out_to_be_another_style(load, style, shape, person):
    made = tiny.table(np.zeros((3, 21)), np.zeros(21), shape, hidden=True)
    detector = load(made, Options(person, style=style))
    message = rf"read as '{style}' .* as class {person}, its outputs cannot be 'output0' \["
    with pytest.raises(UserError, match=message):
        detector(FLAT)


def test_lists_of_two_lengths(load):
    made = tiny.ssd()
    made.graph.initializer[1].CopyFrom(
        tiny.numpy_helper.from_array(np.array([[15, 1]]), "class values")
    )
    made.graph.output[1].type.tensor_type.shape.dim[1].dim_param = "boxes"
    with pytest.raises(UserError, match=r"cannot be 'scores' \[1, 3\] and 'labels' \[1, 2\]"):
        load(made)(FLAT)


@pytest.mark.parametrize("bias", [-1.0, 1.0, np.nan])
def test_what_is_no_confidence(load, bias):
    made = tiny.table(WHOLE, np.full(3, bias), [1, 1, 3])
    detector = load(made, Options(2, style="ssd_dense"))
    with pytest.raises(UserError, match=r"confidences must lie in \[0, 1\], got .*softmax"):
        detector(FLAT)


def test_confidences_that_rounding_put_above_one(load):
    made = tiny.table(WHOLE, np.full(3, 0.4005), [1, 1, 3])
    assert load(made, Options(2, style="ssd_dense"))(FLAT) == 1.0


# --- the input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "axis", "kind", "largest"),
    [
        ((1, 3, 4, 4), 1, tiny.FLOAT, 1),
        ((None, 3, None, None), 1, tiny.FLOAT, 1),
        ((1, 4, 4, 3), 3, tiny.UINT8, 255),
        (("n", "h", "w", 3), 3, tiny.UINT8, 255),
        ((3, 4, 4), 0, tiny.FLOAT, 1),
        ((4, 4, 3), 2, tiny.FLOAT, 1),
        ((1, 3, 4, 4), 1, tiny.UINT8, 255),
    ],
)
def test_every_layout_and_kind_of_input(load, shape, axis, kind, largest):
    made = tiny.ssd(shape, kind, axis, classes=(1, 1, 1))
    # Divided by what the largest value is, so that it is a confidence.
    made.graph.initializer.append(tiny.numpy_helper.from_array(np.float32(largest), "largest"))
    made.graph.node.insert(1, helper.make_node("Div", ["values", "largest"], ["shares"]))
    made.graph.node[2].input[0] = "shares"
    for channel in range(3):
        classes = [2] * 3
        classes[channel] = 1
        made.graph.initializer[1].CopyFrom(
            tiny.numpy_helper.from_array(np.array([classes]), "class values")
        )
        detector = load(made, Options(1))
        assert detector(FLAT) == pytest.approx((R, G, B)[channel])
        assert detector.options.layout == ("NCHW" if axis == len(shape) - 3 else "NHWC")


def test_either_layout_may_fit(load):
    made = tiny.ssd((1, None, None, None), classes=(1, 2, 2))
    with pytest.raises(UserError, match=r"give the layout, NCHW or NHWC: .* may be either"):
        load(made)
    assert load(made, Options(1, layout="NCHW"))(FLAT) == pytest.approx(R)
    with pytest.raises(UserError, match="give the layout"):
        load(tiny.ssd((1, 3, 4, 3)))


def test_a_picture_is_resized_to_what_the_model_wants_or_the_options_say(load):
    picture = np.random.default_rng(0).integers(0, 50, (9, 7, 3)).astype(np.uint8)
    picture[0] = 255
    small = np.asarray(Image.fromarray(picture).resize((6, 5), Image.Resampling.BILINEAR))
    want = small.reshape(-1, 3).mean(axis=0)[[0, 2]].max() / 255
    assert load(tiny.ssd((1, 3, 5, 6)))(picture) == pytest.approx(want)
    free = tiny.ssd((1, 3, None, None))
    assert load(free, Options(15, size=(5, 6)))(picture) == pytest.approx(want)
    whole = picture.reshape(-1, 3).mean(axis=0)[[0, 2]].max() / 255
    assert abs(whole - want) > 1e-3
    assert load(free)(picture) == pytest.approx(whole)


def test_mean_deviation_and_order_of_the_channels(load):
    made = tiny.ssd(classes=(15, 1, 1))
    options = Options(15, mean=(1, 2, 3), std=(100, 200, 400))
    assert load(made, options)(FLAT) == pytest.approx(50 / 100)
    # The first channel is blue, with the mean and deviation of blue.
    options = Options(15, mean=(1, 2, 3), std=(100, 200, 400), bgr=True)
    assert load(made, options)(FLAT) == pytest.approx(150 / 400)
    assert load(made, Options(15, mean=(50.5, 0, 0)))(FLAT) == pytest.approx(0.5)
    assert load(made, Options(15, std=(102, 1, 1)))(FLAT) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("shape", "kind", "options", "message"),
    [
        ((2, 3, 4, 4), tiny.FLOAT, {}, "one picture at a time, not 2"),
        ((1, 4, 4, 4), tiny.FLOAT, {}, r"must have 3 channels; it is 'picture' float32 \[1, 4"),
        ((1, 3, 4, 4), tiny.FLOAT, {"layout": "NHWC"}, "must have 3 channels as NHWC"),
        ((3, 4), tiny.FLOAT, {}, "must have 3 axes, or 4"),
        ((1, 3, 4, 4), tiny.INT64, {}, "must be of uint8 or float"),
        ((1, 3, 5000, 4), tiny.FLOAT, {}, "is larger than 4096 pixels"),
        ((1, 3, 4, 4), tiny.FLOAT, {"size": (4, 5)}, r"the size cannot be \(4, 5\)"),
        ((1, 3, 4, None), tiny.FLOAT, {}, "give the size: only one side"),
        ((1, 3, 4, 4), tiny.UINT8, {"mean": (1, 1, 1)}, "mean and std must be left out"),
    ],
)
def test_inputs_that_are_no_picture(load, shape, kind, options, message):
    with pytest.raises(UserError, match=message) as caught:
        load(tiny.ssd(shape, kind, classes=(1, 1, 1)), Options(15, **options))
    assert "\n" not in str(caught.value)


def test_two_inputs(load):
    made = tiny.ssd()
    made.graph.input.append(helper.make_tensor_value_info("size", tiny.INT64, [1, 2]))
    with pytest.raises(UserError, match=r"must have one input, .*'picture' .*, 'size' int64"):
        load(made)


# --- options and identity ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"person": -1}, "must be at least 0, got -1"),
        ({"person": 1, "style": "yolo5"}, "unknown style 'yolo5': did you mean 'yolov5'"),
        ({"person": 1, "layout": "CHW"}, "unknown layout 'CHW': did you mean 'NCHW'"),
        ({"person": 1, "size": (0, 5)}, r"sides must lie in \[1, 4096\] pixels"),
        ({"person": 1, "size": (5, 4097)}, r"sides must lie in \[1, 4096\] pixels"),
        ({"person": 1, "std": (1, 0, 1)}, "std must be positive"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(UserError, match=message):
        Options(**options)


def test_outputs_that_are_not_there(load):
    for given in ({"scores": "score"}, {"classes": "score"}):
        with pytest.raises(UserError, match=r"has no output 'score' .*did you mean 'scores'"):
            load(tiny.ssd(), Options(15, **given))
    with pytest.raises(UserError, match=r"read as 'yolov8' it has 0 classes"):
        load(tiny.table(np.zeros((3, 21)), np.zeros(21), [1, 3, 7]), Options(0, style="yolov8"))
    with pytest.raises(UserError, match="is of style 'ssd', not 'rows'"):
        load(tiny.ssd(), Options(15, classes="labels", style="rows"))


def test_a_detector_is_named_by_its_file_and_states_what_it_does(load):
    made = tiny.ssd((1, 3, 5, 6))
    detector = load(made)
    digest = hashlib.sha256(made.SerializeToString()).hexdigest()
    assert detector.name == f"detector {digest[:12]}"
    settings = detector.settings
    assert json.loads(json.dumps(settings)) == settings
    assert "Pillow" in settings["resize"]
    assert {key: value for key, value in settings.items() if key != "resize"} == {
        **{"person": 15, "style": "ssd", "scores": "scores", "classes": "labels"},
        **{"layout": "NCHW", "size": [5, 6], "mean": [0.0] * 3, "std": [255.0] * 3, "bgr": False},
    }
