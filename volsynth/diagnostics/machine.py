"""The machine that volsynth runs on: cores, memory, huge pages, free space and devices of JAX."""

import glob
import os
import platform
import shutil
from pathlib import Path
from typing import Any

HUGE_PAGES = "GLIBC_TUNABLES=glibc.malloc.hugetlb=1"
"""The environment variable that makes the C library ask the system for huge pages."""


def machine_report() -> dict[str, Any]:
    """Describes the machine in JSON values; sizes are in bytes, None where unknown."""
    # The cores that this process may use: a container or a batch system often grants fewer than
    # there are.
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        cores = os.cpu_count() or 1
    return {
        "system": platform.platform(),
        "cpu_cores": cores,
        "memory_bytes": _memory_bytes(),
        # By the device files, which are there even if JAX is installed without CUDA.
        "nvidia_gpus": len(glob.glob("/dev/nvidia[0-9]*")),
        "huge_pages": huge_pages(),
    }


def jax_report() -> dict[str, Any]:
    """Lists the devices that JAX finds, in JSON values.

    An accelerator that does not start is reported under "error" rather than raised.
    """
    try:
        # Here, so that importing this module stays fast.
        import jax

        devices = jax.devices()
    except (ImportError, RuntimeError) as error:
        return {"platform": None, "devices": [], "error": f"{type(error).__name__}: {error}"}
    return {
        "platform": devices[0].platform,
        "devices": [
            {"id": device.id, "platform": device.platform, "kind": device.device_kind}
            for device in devices
        ],
        "error": None,
    }


def huge_pages() -> bool | None:
    """Returns whether large allocations of this process get huge pages; None if unknown.

    A training step on the CPU takes fresh memory every time, and with small pages much of its time
    goes into getting them one by one (docs/performance.md).
    """
    try:
        setting = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    except OSError:
        return None
    if "[madvise]" in setting:
        # Then only programs that ask get huge pages.
        return HUGE_PAGES.partition("=")[2] in os.environ.get("GLIBC_TUNABLES", "")
    return "[always]" in setting


def free_bytes(folder: Path) -> int | None:
    """Returns the free space of the disk that a folder is on, or would be made on."""
    for place in (folder, *folder.parents):
        try:
            return shutil.disk_usage(place).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None


def _memory_bytes() -> int | None:
    """The memory of the machine or the limit of the container, whichever is less."""
    # Not by psutil, which knows the machine's memory but no limit.
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return total
    # Without a limit the file holds the word "max".
    return min(total, int(limit)) if limit.isdigit() else total
