"""Published networks whose weights or files users bring: VGG-19, LPIPS, Inception-v3, detectors."""
