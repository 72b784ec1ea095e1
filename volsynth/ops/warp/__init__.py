"""The volumetric warp, its forms for CPUs and accelerators, and what they share."""
