"""Ranges of activations: collected as histograms, cut by a threshold, kept in ranges.json."""
