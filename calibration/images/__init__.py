"""Which images calibrate, what they cover, and the record of it."""
