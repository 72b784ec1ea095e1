"""Operators: pure functions of arrays, which know no framework of networks and no config."""
