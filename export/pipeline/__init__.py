"""The steps of a build, from the user's request to an engine that is kept with its card."""
