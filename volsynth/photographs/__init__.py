"""Persons in photographs: where they are, their joints and their masks."""
