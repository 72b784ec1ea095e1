"""Memory that a run takes, in bytes: of the process, and of its devices where they report it."""

import pathlib
import resource
import sys

import jax

_STATUS = pathlib.Path("/proc/self/status")
_FIELDS = {"VmRSS": "process_bytes", "VmHWM": "process_peak_bytes"}


def usage() -> dict[str, int]:
    """Bytes of memory in use now, and at their peak since the process began.

    Returns:
      `process_bytes`, `process_peak_bytes`: resident memory of this process, the first only where
      the system tells it. `device_bytes`, `device_peak_bytes`: memory of the device of this process
      that has used the most; absent where devices report nothing, as CPUs do, whose arrays are part
      of the process.
    """
    return {**_of_process(), **_of_devices()}


def _of_process():
    found = {}
    # Only Linux has the file.
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in _FIELDS:
                # "kB" in the file are KiB.
                found[_FIELDS[name]] = int(rest.split()[0]) * 1024
    if "process_peak_bytes" not in found:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # Bytes on macOS, KiB elsewhere.
        found["process_peak_bytes"] = peak if sys.platform == "darwin" else peak * 1024
    return found


def _of_devices():
    names = {"device_bytes": "bytes_in_use", "device_peak_bytes": "peak_bytes_in_use"}
    reports = [stats for device in jax.local_devices() if (stats := _stats(device))]
    return {
        key: max(stats[name] for stats in reports)
        for key, name in names.items()
        if reports and all(name in stats for stats in reports)
    }


def _stats(device):
    try:
        return device.memory_stats()
    except jax.errors.JaxRuntimeError:  # A plugin that does not have it says so.
        return None
