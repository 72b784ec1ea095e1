"""Curves: smoothing, scales and legends."""

import numpy as np

from volsynth.reports import plots


def test_smoothing_is_a_mean_of_what_is_finite():
    values = np.arange(100.0)
    values[[0, 50]] = np.nan
    found = plots._smoothed(values)
    expected = [np.nan if i == 0 else np.nanmean(values[max(i - 5, 0) : i + 1]) for i in range(100)]
    np.testing.assert_allclose(found, expected)


def test_a_span_of_a_factor_is_logarithmic_and_zero_is_not(tmp_path):
    def scale(*values, key="g/loss"):
        log = [{"step": i, key: value} for i, value in enumerate(values)]
        (axes,) = plots.figure([log], ["a"], [key], raw=True).axes
        return axes.get_yscale()

    assert scale(1.0, 4.0) == "log"
    assert scale(1.0, 3.9) == "linear"
    assert scale(0.0, 100.0) == "linear"
    assert scale(-1.0, 100.0) == "linear"
    assert scale(1.0, 100.0, key="images_per_second") == "linear"
    assert scale(None, None) == "linear"


def test_the_legend_is_in_the_order_of_the_runs_and_steps_are_the_same_everywhere():
    logs = [
        [{"step": s, "b/loss": 1.0} for s in (1, 90)],
        [{"step": s, "a/loss": 1.0} for s in (1, 9)],
    ]
    drawn = plots.figure(logs, ["_first", "second"], ["a/loss", "b/loss"])
    (legend,) = drawn.legends
    assert [text.get_text() for text in legend.get_texts()] == ["_first", "second"]
    colours = [line.get_color() for line in legend.get_lines()]
    assert colours == [axes.get_lines()[0].get_color() for axes in reversed(drawn.axes)]
    assert drawn.axes[0].get_xlim() == drawn.axes[1].get_xlim()
