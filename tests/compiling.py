"""Options of the compiler for programs that run once or twice."""

QUICK = {"xla_backend_optimization_level": 0}
"""Compiles for being quick to compile."""
