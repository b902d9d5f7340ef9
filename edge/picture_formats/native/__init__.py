"""The decoder of label maps in C++, compiled on the machine that runs it."""
