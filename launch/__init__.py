"""Starts training on this machine, on Slurm, Cloud TPUs or Kubernetes, and runs sweeps.

Imports point down this list: `command`, `devices`, `submit`; `process_group`, `local`; `slurm`,
`tpu_vm`, `jobset`; `sweeps.spec`, `sweeps.state`, `sweeps.runner`; `arguments`, `__main__`. None of
them imports JAX or TensorFlow; `sweeps.results` and `sweeps.pages`, which read the results of
finished runs, do.
"""
