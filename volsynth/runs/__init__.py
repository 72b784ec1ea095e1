"""Runs: a config becomes a run in a workdir, and a workdir a system with its weights again."""
