"""The commands of `volsynth COMMAND`: one module for each family of commands.

The function `add` of a family adds its commands to the parser; the functions beside it run them.
These import what they need when they run, because `volsynth --help` would else wait for JAX.
"""
