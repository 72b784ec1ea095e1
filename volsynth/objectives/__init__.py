"""Objectives: pieces of losses, and the system that most image methods are."""
