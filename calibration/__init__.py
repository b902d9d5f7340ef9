"""INT8 quantisation: selection of images, collection of ranges, and insertion of Q/DQ pairs."""
