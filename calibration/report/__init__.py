"""What INT8 cost, as a page, pictures and sentences."""
