"""Memory of the process against what is allocated, of devices against what they report."""

import mmap
import resource
import types

import jax
import pytest

from volsynth.train import memory


def test_the_process_grows_by_what_it_touches_and_its_peak_stays():
    size = 64 * 2**20
    before = memory.usage()
    # Pages of its own: an array may get some that earlier tests have left to the process.
    with mmap.mmap(-1, size) as block:
        for page in range(0, size, mmap.PAGESIZE):
            block[page] = 1
        held = memory.usage()
    after = memory.usage()
    assert held["process_bytes"] - before["process_bytes"] > 0.9 * size
    assert held["process_bytes"] - after["process_bytes"] > 0.9 * size
    assert after["process_peak_bytes"] >= 0.99 * held["process_bytes"]


def test_the_unit_of_what_the_system_says_is_bytes(tmp_path, monkeypatch):
    (tmp_path / "status").write_text(
        "Name:\tx\nVmHWM:\t    5 kB\nVmRSS:\t    3 kB\nVmData:\t1 kB\n"
    )
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "status")
    assert memory.usage() == {"process_bytes": 3072, "process_peak_bytes": 5120}


def test_without_proc_there_is_the_peak_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "status")
    for platform, unit in (("linux", 1024), ("darwin", 1)):
        monkeypatch.setattr("sys.platform", platform)
        expected = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        usage = memory.usage()
        assert set(usage) == {"process_peak_bytes"}
        assert usage["process_peak_bytes"] == pytest.approx(expected, rel=0.1)


def _devices(monkeypatch, *reports):
    def device(report):
        def stats():
            if isinstance(report, Exception):
                raise report
            return report

        return types.SimpleNamespace(memory_stats=stats)

    monkeypatch.setattr(jax, "local_devices", lambda: [device(report) for report in reports])
    return {key: value for key, value in memory.usage().items() if key.startswith("device")}


def test_of_several_devices_the_fullest_counts(monkeypatch):
    reports = [
        {"bytes_in_use": 10, "peak_bytes_in_use": 50, "other": 1},
        {"bytes_in_use": 20, "peak_bytes_in_use": 40},
    ]
    found = _devices(monkeypatch, *reports)
    assert found == {"device_bytes": 20, "device_peak_bytes": 50}


@pytest.mark.parametrize(
    "report", [None, {}, {"other": 1}, jax.errors.JaxRuntimeError("UNIMPLEMENTED")]
)
def test_devices_that_do_not_say_are_left_out(monkeypatch, report):
    assert _devices(monkeypatch, report) == {}
