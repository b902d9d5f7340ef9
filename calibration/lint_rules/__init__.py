"""The rules that a Q/DQ graph is held against, and the linter that applies them."""
