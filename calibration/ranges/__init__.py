"""Ranges of activations: histograms, calibration methods that turn them into thresholds, and ranges.json."""
