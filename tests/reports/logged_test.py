"""The keys of logs: which are losses, which are drawn, and in which order."""

from volsynth.reports import logged
from volsynth.train import run_log


def test_panels_go_player_by_player_and_end_with_the_machine():
    names = ["b/l1", "b/gradient_norm", "a/gan", "b/loss", "a/loss", "b/skipped", "a/gradient_norm"]
    names += ["process_bytes", "images_per_second", "share_waiting_for_data", "time"]
    names += ["b/loss_scale", "seconds_per_step"]
    logs = [[{"step": s, **dict.fromkeys(names, float(s))} for s in (1, 2)]]
    assert logged.drawn_keys(logs)[0] == [
        *("a/loss", "a/gan", "a/gradient_norm"),
        *("b/loss", "b/l1", "b/gradient_norm", "b/loss_scale", "b/skipped"),
        *("images_per_second", "share_waiting_for_data", "process_bytes"),
    ]


def test_losses_are_all_that_the_engine_does_not_log_itself():
    row = {"step": 1, "time": 2.0, "images_per_second": 3.0}
    row |= dict.fromkeys((f"left/judge/{name}" for name in run_log.BOOKKEEPING), 1.0)
    row |= {"left/judge/loss": 4.0, "left/judge/doubt": 5.0, "painter/loss": 6.0}
    assert logged.loss_keys([[row]]) == ["left/judge/loss", "painter/loss", "left/judge/doubt"]
    assert logged.split_key("left/judge/doubt") == ("left/judge", "doubt")
    assert logged.split_key("time") == ("", "time")
    assert not logged.is_of_player("time")


def test_a_counter_is_summed_over_the_players_by_its_last_values():
    log = [
        {"step": 1, "a/skipped": 1, "b/skipped": 2},
        {"step": 2, "a/skipped": 3, "b/skipped": None},
    ]
    assert logged.sum_of_last(log, "skipped") == 5
    assert logged.sum_of_last(log, "nothing") == 0
