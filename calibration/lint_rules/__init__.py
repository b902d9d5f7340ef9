"""The rules that a Q/DQ graph has to keep, and the linter that applies them."""
