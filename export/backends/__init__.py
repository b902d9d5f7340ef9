"""Backends that build engines, a file for each; `export/backends/choice.py` holds their table and chooses one."""
