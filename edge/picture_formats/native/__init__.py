"""C++ that decodes label maps, compiled on the machine that runs it."""
