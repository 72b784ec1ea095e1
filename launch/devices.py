"""The GPUs of this machine, and the environment that gives a process its share of them."""

import pathlib
from collections.abc import Mapping, Sequence

from volsynth.errors import UserError

_DRIVER = pathlib.Path("/proc/driver/nvidia/gpus")
"""The folder in which the NVIDIA driver of Linux has an entry for each GPU."""


def gpus(environment: Mapping[str, str], driver: pathlib.Path = _DRIVER) -> list[str]:
    """The names of the GPUs that a process with this environment may use.

    Args:
      environment: the environment; its CUDA_VISIBLE_DEVICES is obeyed where it is set.
      driver: the folder in which the driver has one entry per GPU.
    """
    # By the environment and the driver: launching loads no library that could ask CUDA.
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip()]
    return [str(i) for i in range(len(list(driver.iterdir())))] if driver.is_dir() else []


def shares(
    names: Sequence[str], processes: int, platform: str, per_process: int | None = None
) -> list[dict[str, str]]:
    """The variables to add to the environment of each process of one machine.

    Args:
      names: the names of the GPUs.
      processes: how many processes share the machine.
      platform: "cpu", "cuda", or "auto", which is CUDA where there are GPUs.
      per_process: how many devices each process gets; None is an equal share of the GPUs, or one
        CPU device.

    Raises:
      UserError: there are too few GPUs.
    """
    if platform == "cpu" or (platform == "auto" and not names):
        return [
            {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(per_process or 1)}
            for _ in range(processes)
        ]
    each = per_process or len(names) // processes
    # Two processes on one GPU would each take most of its memory, and the second one fail.
    if each < 1 or each * processes > len(names):
        raise UserError(
            f"{processes} processes of {max(each, 1)} GPU(s) need {max(each, 1) * processes}, "
            f"there are {len(names)}. Choose fewer, or --platform cpu."
        )
    return [
        {"CUDA_VISIBLE_DEVICES": ",".join(names[i * each : (i + 1) * each])}
        for i in range(processes)
    ]
