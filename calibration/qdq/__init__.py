"""Where Q/DQ pairs go in a float graph, and the integers of its weights."""
