"""Faults that are planted on purpose, to see the tests die: a test that no fault kills proves nothing."""
