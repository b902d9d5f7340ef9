"""Training pairs: which frame comes when, how it is varied, and the batches that a step reads."""
