"""A body of capsules around the bones of a pose, and the surface of it that a camera sees."""
