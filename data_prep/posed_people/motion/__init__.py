"""How rendered people move: the actions, and the building blocks that actions are made of."""
