"""The search for a quantisation within the accuracy budget, and what it measures."""
