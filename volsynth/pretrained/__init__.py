"""Published networks: VGG-19, LPIPS, Inception-v3 and detectors of users' files, and BlazePose."""
