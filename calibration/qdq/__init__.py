"""Insertion of Q/DQ pairs into a float graph, and quantisation of its weights."""
