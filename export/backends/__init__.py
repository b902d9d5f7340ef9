"""What builds engines: one file for each backend; `export/backends/choice.py` holds the table of them and chooses."""
