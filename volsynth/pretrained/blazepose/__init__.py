"""BlazePose (Bazarevsky et al. 2020): a person detector, and landmarks and a mask of one person."""
