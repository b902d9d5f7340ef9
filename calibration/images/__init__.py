"""Selection of calibration images, statistics of what they show, and the manifest that records them."""
