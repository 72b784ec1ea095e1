"""Starts training where it is to run: this machine, Slurm, TPU VMs, Kubernetes; and many runs.

Imports point down this list: `command`, `devices`, `submit`; `process_group`, `local`; `slurm`,
`tpu_vm`, `jobset`; `sweeps.spec`, `sweeps.state`, `sweeps.runner`; `__main__`. None of them imports
JAX or TensorFlow; `sweeps.results` and `sweeps.pages`, which read what runs have left, do.
"""
