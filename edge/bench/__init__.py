"""edge-bench: how fast and how accurate an engine is on this machine, in a record that holds."""
