"""Graphs that this project did not make: read, checked, cleaned and put under a contract."""
