"""The orders in which frames come to an engine that is measured, one module each; `choice.py` is the way in.

A scenario adds every finished frame to a log. What is said of a measurement is computed from that log alone.
"""
