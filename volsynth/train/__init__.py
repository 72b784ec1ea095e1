"""The engine: the loop, the step, the state, and everything that keeps a run safe."""
