"""A build, step by step, from what the user asked for to an engine that is kept with its card."""
