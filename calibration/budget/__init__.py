"""The accuracy budget of INT8: what a quantised network costs in labels, and whether it is within its limits."""
