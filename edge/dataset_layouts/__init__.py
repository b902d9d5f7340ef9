"""How datasets lie on disk: the files of a split, and what the values of its label maps mean."""
