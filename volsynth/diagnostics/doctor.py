"""What this machine has of what volsynth needs, what is missing, and the command that gets it.

Nothing heavy is imported to find out: package versions come from their metadata (TensorFlow alone
would take seconds), data sets from their manifests. JAX is imported when its devices are asked for.
"""

import glob
import importlib.metadata
import json
import os
import platform
import re
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from volsynth.errors import UserError

PYTHON = "3.11"
"""Oldest Python that volsynth runs on."""

PACKAGES: Mapping[str, str | None] = {
    "absl-py": None,
    "array_record": "0.8",
    "chex": "0.1.90",
    "flax": "0.12",
    "jax": "0.10",
    "jaxtyping": "0.3",
    "jinja2": "3.1",
    "matplotlib": "3.10",
    "ml-collections": "1.1",
    "numpy": "2.0",
    "optax": "0.2.6",
    "orbax-checkpoint": "0.12",
    "pillow": "12.3",
    "pyyaml": "6",
    "rich": "14",
    "safetensors": "0.8",
    "scipy": "1.14",
    "tensorboardX": "2.6.4",
    "tensorflow-cpu": "2.20",
    "tensorflow-datasets": "4.9.9",
}
"""Packages volsynth needs and their oldest version, as in pyproject.toml; a test compares them."""

# Other distributions of the same modules.
_STANDS_IN_FOR = {"tensorflow-cpu": ("tensorflow",)}

MANIFEST = "manifest.json"
_MANIFEST_FORMAT = 1
_MANIFEST_BYTES = 64 * 2**20
_DEPTH = 4
"""How deep under the data folder a version folder may lie: name/config/version, one to spare."""

HUGE_PAGES = "GLIBC_TUNABLES=glibc.malloc.hugetlb=1"
"""In the environment, it makes the C library ask for huge pages."""

GET_DATA = "python -m data_prep.posed_people --config 64 --data-dir"


def report(data_dir: str, weights_dir: str = "weights") -> dict[str, Any]:
    """Looks at Python, packages, devices, machine, prepared data and weights.

    Args:
      data_dir: the folder that prepared data sets are kept in; it need not exist.
      weights_dir: the folder that converted weights are kept in; it need not exist, either.

    Returns:
      Plain JSON values. "ready" is whether "missing" is empty; each entry of "missing" has "what"
      is missing and the command to "get" it. Sizes are in bytes.

    Raises:
      UserError: `data_dir` is a file.
    """
    folder = Path(data_dir).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"doctor: {str(data_dir)!r} is a file; name the folder of the data sets.")
    packages = _packages()
    result = {
        "python": {
            "version": platform.python_version(),
            "needed": f">={PYTHON}",
            "status": "ok" if _numbers(platform.python_version()) >= _numbers(PYTHON) else "old",
            "executable": sys.executable,
        },
        "packages": packages,
        "jax": _jax(),
        "machine": _machine(),
        "data": {
            "folder": str(folder),
            "exists": folder.is_dir(),
            "free_bytes": _free_bytes(folder),
            "sets": _data_sets(folder),
        },
        "weights": {
            "found": _weights(Path(weights_dir)),
            "needed": [],
            "note": "none are needed: the built-in features are used",
        },
    }
    missing = _missing(result, data_dir)
    return {"ready": not missing, **result, "missing": missing}


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, padded, so that 2.20 is not older than 2.20.0."""
    found = [int(number) for number in re.findall(r"\d+", version.split("+")[0])[:3]]
    return tuple(found + [0] * (3 - len(found)))


def _version(name: str) -> str | None:
    for candidate in (name, *_STANDS_IN_FOR.get(name, ())):
        try:
            return importlib.metadata.version(candidate)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _packages() -> list[dict[str, Any]]:
    entries = []
    for name, needed in PACKAGES.items():
        version = _version(name)
        if version is None:
            status = "missing"
        else:
            status = "old" if needed and _numbers(version) < _numbers(needed) else "ok"
        needed = f">={needed}" if needed else "any"
        entries.append({"name": name, "version": version, "needed": needed, "status": status})
    return entries


def _jax() -> dict[str, Any]:
    """The devices of this process; an accelerator that does not start is a finding, not a crash."""
    try:
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


def _machine() -> dict[str, Any]:
    # The cores this process may use: a container or a batch system often grants fewer than exist.
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        cores = os.cpu_count() or 1
    return {
        "system": platform.platform(),
        "cpu_cores": cores,
        "memory_bytes": _memory_bytes(),
        "nvidia_gpus": len(glob.glob("/dev/nvidia[0-9]*")),
        "huge_pages": huge_pages(),
    }


def huge_pages() -> bool | None:
    """Whether large allocations of this process get huge pages; None if the system does not say.

    A step on the CPU takes fresh memory every time, and with small pages much of its time goes into
    getting them one by one (docs/performance.md).
    """
    try:
        setting = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    except OSError:
        return None
    if "[madvise]" in setting:
        return HUGE_PAGES.partition("=")[2] in os.environ.get("GLIBC_TUNABLES", "")
    return "[always]" in setting


def _memory_bytes() -> int | None:
    """Memory of the machine or of the container's limit, whichever is less; None if unknown."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total


def _free_bytes(folder: Path) -> int | None:
    """Free space where the folder is or, if there is none yet, where it would be made."""
    for place in (folder, *folder.parents):
        try:
            return shutil.disk_usage(place).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None


def _data_sets(folder: Path) -> list[dict[str, Any]]:
    """Every version folder below a folder; shards are not opened and links not followed."""
    found = []
    for place, subfolders, files in os.walk(folder):
        if MANIFEST in files:
            found.append(_data_set(Path(place)))
            subfolders.clear()
        elif len(Path(place).relative_to(folder).parts) >= _DEPTH:
            subfolders.clear()
        # In order, so that two reports of one folder are equal; and past the builders' own
        # temporary folders, whose names begin with a dot.
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
    return found


def _data_set(folder: Path) -> dict[str, Any]:
    try:
        return {"folder": str(folder), **_read_manifest(folder / MANIFEST), "problem": None}
    except (OSError, ValueError, RecursionError) as error:
        return {"folder": str(folder), "problem": str(error)}


def _read_manifest(path: Path) -> dict[str, Any]:
    """What a manifest says of its data set, checked: it may come from anywhere.

    Raises:
      ValueError: it is not a manifest this version can read.
    """
    if not path.is_file():
        # Reading a pipe of this name would wait for ever.
        raise ValueError(f"{MANIFEST} is not a regular file")
    size = path.stat().st_size
    if size > _MANIFEST_BYTES:
        raise ValueError(f"{MANIFEST} has {size} bytes, more than {_MANIFEST_BYTES}")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{MANIFEST} is not JSON: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != _MANIFEST_FORMAT:
        raise ValueError(f"{MANIFEST} is not of format {_MANIFEST_FORMAT}")
    values = {key: manifest.get(key) for key in ("name", "config", "version")}
    for key, value in values.items():
        # Printed to a terminal, where an unprintable character could move the cursor.
        if not isinstance(value, str) or not value.isprintable():
            raise ValueError(f"{MANIFEST}: {key!r} is not plain text")
    splits = manifest.get("splits")
    if not isinstance(splits, dict) or not splits:
        raise ValueError(f"{MANIFEST}: 'splits' is missing or empty")
    records = {}
    for name, split in splits.items():
        count = split.get("records") if isinstance(split, dict) else None
        if not name.isprintable() or not _is_count(count):
            raise ValueError(f"{MANIFEST}: split {name!r} has no valid count of records")
        records[name] = count
    if not _is_count(manifest.get("image_size")):
        raise ValueError(f"{MANIFEST}: 'image_size' is not a number of pixels")
    return {**values, "image_size": manifest["image_size"], "records": records}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _weights(folder: Path) -> list[dict[str, Any]]:
    """Every safetensors file of a folder, with the network that it is for."""
    try:
        from volsynth.pretrained import weights
    except ImportError:  # A package is missing, and reported as such.
        return []
    found = []
    for path in sorted(path for path in folder.glob("*.safetensors") if path.is_file()):
        entry = {"file": str(path), "network": None, "problem": None}
        try:
            network = weights.network(path)
            entry |= {"network": network} if network else {"problem": "names no network"}
        except UserError as error:
            entry["problem"] = str(error)
        found.append(entry)
    return found


def _missing(result: Mapping[str, Any], data_dir: str) -> list[dict[str, str]]:
    missing = []
    if result["python"]["status"] != "ok":
        missing.append(
            {
                "what": f"Python {result['python']['needed']}",
                "get": f"install Python {PYTHON} or newer and make a new environment with it",
            }
        )
    for package in result["packages"]:
        if package["status"] != "ok":
            wanted = package["name"] + (package["needed"] if package["needed"] != "any" else "")
            get = f"pip install {shlex.quote(wanted)}"
            missing.append({"what": f"package {package['name']} ({package['status']})", "get": get})
    if result["jax"]["error"] is not None:
        what = f"a device that JAX can use ({result['jax']['error']})"
        missing.append({"what": what, "get": "JAX_PLATFORMS=cpu volsynth doctor"})
    if result["machine"]["nvidia_gpus"] and result["jax"]["platform"] == "cpu":
        what = "JAX for the NVIDIA GPU of this machine: it sees only the CPU"
        missing.append({"what": what, "get": "pip install 'jax[cuda13]'"})
    if not any(entry["problem"] is None for entry in result["data"]["sets"]):
        get = f"{GET_DATA} {shlex.quote(str(data_dir))}"
        missing.append({"what": "a prepared data set", "get": get})
    return missing


def render(report: Mapping[str, Any]) -> None:
    """Prints a report as tables.

    Args:
      report: what `report` returned.
    """
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("", "", show_header=False, title="volsynth doctor", title_justify="left")
    for label, text, good in _rows(report):
        style = "" if good is None else "green" if good else "red"
        table.add_row(_plain(label), _plain(text, style))
    console.print(table)
    if report["ready"]:
        console.print("Nothing is missing.", style="green")
    for entry in report["missing"]:
        console.print(_plain(f"Missing: {entry['what']}", "red"))
        # A command must survive being copied, so it is never wrapped.
        console.print(_plain(f"  {entry['get']}"), soft_wrap=True)


def _plain(text: str, style: str = "") -> Any:
    """Text to print as it is: folder names may look like markup or hold control characters."""
    from rich.text import Text

    shown = (
        letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}"
        for letter in text
    )
    return Text("".join(shown), style=style)


def _rows(report: Mapping[str, Any]) -> list[tuple[str, str, bool | None]]:
    """Label, text, and whether it is as it should be (None: nothing to judge)."""
    python, machine, data = report["python"], report["machine"], report["data"]
    rows: list[tuple[str, str, bool | None]] = [
        ("Python", f"{python['version']} ({python['needed']})", python["status"] == "ok")
    ]
    for package in report["packages"]:
        text = f"{package['version'] or 'missing'} ({package['needed']})"
        rows.append((package["name"], text, package["status"] == "ok"))
    kinds = Counter((entry["platform"], entry["kind"]) for entry in report["jax"]["devices"])
    # A CPU calls itself "cpu" twice.
    lines = (f"{count} x {' '.join(dict.fromkeys(kind))}" for kind, count in kinds.items())
    text = "\n".join(lines)
    rows.append(("JAX devices", report["jax"]["error"] or text, report["jax"]["error"] is None))
    rows.append(("CPU cores", str(machine["cpu_cores"]), None))
    if report["jax"]["platform"] == "cpu" and machine["huge_pages"] is False:
        rows.append(("Huge pages", f"off; with {HUGE_PAGES} training on the CPU is faster", None))
    rows.append(("Memory", _gibibytes(machine["memory_bytes"]), None))
    rows.append(("Free for data", f"{_gibibytes(data['free_bytes'])} in {data['folder']}", None))
    for entry in data["sets"]:
        if entry["problem"] is not None:
            rows.append(("Data set", f"{entry['folder']}: {entry['problem']}", False))
            continue
        counts = ", ".join(f"{split} {count:,}" for split, count in entry["records"].items())
        label = f"{entry['name']}/{entry['config']}/{entry['version']}"
        rows.append(("Data set", f"{label}, {entry['image_size']} px: {counts}", True))
    if not data["sets"]:
        rows.append(("Data set", "none", False))
    rows.append(("Weights", report["weights"]["note"], None))
    for entry in report["weights"]["found"]:
        text = f"{entry['file']}: {entry['network'] or entry['problem']}"
        rows.append(("Weights", text, entry["problem"] is None))
    return rows


def _gibibytes(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 2**30:,.1f} GiB"
