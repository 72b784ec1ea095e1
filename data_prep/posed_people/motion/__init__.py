"""Motions of rendered people: the actions, and the building blocks that actions are made of."""
