"""The report on the accuracy that INT8 cost, as a page, as pictures and as sentences."""
