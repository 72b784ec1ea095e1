"""A report on what volsynth needs and this machine has, what is missing, and how to get it.

Nothing heavy is imported to find out; JAX is imported when its devices are asked for.
"""

import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from volsynth.diagnostics import machine, packages, prepared_files
from volsynth.errors import UserError

GET_DATA = "python -m data_prep.posed_people --config 64 --data-dir"
"""The command that prepares the smallest data set; the folder follows."""


def report(data_dir: str, weights_dir: str = "weights") -> dict[str, Any]:
    """Describes Python, packages, devices, machine, prepared data and weights.

    Args:
      data_dir: the folder with the prepared data sets; it need not exist.
      weights_dir: the folder with the converted weights; it need not exist, either.

    Returns:
      Plain JSON values. "ready" is whether "missing" is empty; each entry of "missing" has "what"
      is missing and the command to "get" it. Sizes are in bytes.

    Raises:
      UserError: `data_dir` is a file, or volsynth is not installed.
    """
    folder = Path(data_dir).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"doctor: {str(data_dir)!r} is a file; name the folder of the data sets.")
    result = {
        "python": packages.python_report(),
        "packages": packages.package_reports(),
        "jax": machine.jax_report(),
        "machine": machine.machine_report(),
        "data": {
            "folder": str(folder),
            "exists": folder.is_dir(),
            "free_bytes": machine.free_bytes(folder),
            "sets": prepared_files.data_sets(folder),
        },
        "weights": {
            "found": prepared_files.weight_files(Path(weights_dir)),
            "needed": [],
            "note": "none are needed: the built-in features are used",
        },
    }
    missing = _missing(result, data_dir)
    return {"ready": not missing, **result, "missing": missing}


def _missing(result: Mapping[str, Any], data_dir: str) -> list[dict[str, str]]:
    # In the order in which they should be mended: the later ones need the earlier ones.
    missing = []
    if result["python"]["status"] != "ok":
        missing.append(
            {
                "what": f"Python {result['python']['needed']}",
                "get": f"install Python {result['python']['needed'].removeprefix('>=')} or newer"
                " and make a new environment with it",
            }
        )
    for package in result["packages"]:
        if package["status"] != "ok":
            wanted = package["name"] + (package["needed"] if package["needed"] != "any" else "")
            get = f"pip install {shlex.quote(wanted)}"
            missing.append({"what": f"package {package['name']} ({package['status']})", "get": get})
    if result["jax"]["error"] is not None:
        what = f"a device that JAX can use ({result['jax']['error']})"
        # The CPU always works, and says whether the rest is sound.
        missing.append({"what": what, "get": "JAX_PLATFORMS=cpu volsynth doctor"})
    if result["machine"]["nvidia_gpus"] and result["jax"]["platform"] == "cpu":
        what = "JAX for the NVIDIA GPU of this machine: it sees only the CPU"
        missing.append({"what": what, "get": "pip install 'jax[cuda13]'"})
    # One sound data set is enough; broken ones are shown in the table.
    if not any(entry["problem"] is None for entry in result["data"]["sets"]):
        get = f"{GET_DATA} {shlex.quote(str(data_dir))}"
        missing.append({"what": "a prepared data set", "get": get})
    return missing


def render(report: Mapping[str, Any]) -> None:
    """Prints a report as tables.

    Args:
      report: as `report` returns it.
    """
    # Here, so that importing this module stays fast.
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
        # Not wrapped: a command that is copied must stay one line.
        console.print(_plain(f"  {entry['get']}"), soft_wrap=True)


def _plain(text: str, style: str = "") -> Any:
    """Text for rich to print as it is.

    Names of folders may look like rich's markup, or hold characters that control the terminal.
    """
    from rich.text import Text

    # Line breaks stay: they separate the devices in one cell.
    shown = (
        letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}"
        for letter in text
    )
    return Text("".join(shown), style=style)


def _rows(report: Mapping[str, Any]) -> list[tuple[str, str, bool | None]]:
    """The rows of the table: label, text, and whether all is well (None: nothing to judge)."""
    return [
        *_package_rows(report),
        *_machine_rows(report),
        *_data_rows(report["data"]),
        *_weight_rows(report["weights"]),
    ]


def _package_rows(report):
    python = report["python"]
    yield "Python", f"{python['version']} ({python['needed']})", python["status"] == "ok"
    for package in report["packages"]:
        text = f"{package['version'] or 'missing'} ({package['needed']})"
        yield package["name"], text, package["status"] == "ok"


def _machine_rows(report):
    figures, jax = report["machine"], report["jax"]
    kinds = Counter((entry["platform"], entry["kind"]) for entry in jax["devices"])
    # Without repetition: a CPU has "cpu" as its platform and as its kind.
    lines = (f"{count} x {' '.join(dict.fromkeys(kind))}" for kind, count in kinds.items())
    yield "JAX devices", jax["error"] or "\n".join(lines), jax["error"] is None
    yield "CPU cores", str(figures["cpu_cores"]), None
    # Only training on the CPU gets faster by them.
    if jax["platform"] == "cpu" and figures["huge_pages"] is False:
        hint = f"off; with {machine.HUGE_PAGES} training on the CPU is faster"
        yield "Huge pages", hint, None
    yield "Memory", _gibibytes(figures["memory_bytes"]), None


def _data_rows(data):
    yield "Free for data", f"{_gibibytes(data['free_bytes'])} in {data['folder']}", None
    for entry in data["sets"]:
        if entry["problem"] is not None:
            yield "Data set", f"{entry['folder']}: {entry['problem']}", False
            continue
        counts = ", ".join(f"{split} {count:,}" for split, count in entry["records"].items())
        label = f"{entry['name']}/{entry['config']}/{entry['version']}"
        yield "Data set", f"{label}, {entry['image_size']} px: {counts}", True
    if not data["sets"]:
        yield "Data set", "none", False


def _weight_rows(weights):
    yield "Weights", weights["note"], None
    for entry in weights["found"]:
        text = f"{entry['file']}: {entry['network'] or entry['problem']}"
        yield "Weights", text, entry["problem"] is None


def _gibibytes(size: int | None) -> str:
    return "unknown" if size is None else f"{size / 2**30:,.1f} GiB"
