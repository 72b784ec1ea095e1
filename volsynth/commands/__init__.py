"""What `volsynth COMMAND` does: one module for each family of commands.

A family's `add` gives the parser its commands; the functions beside it run them. They import what
they need when they run: `volsynth --help` would wait for JAX.
"""
