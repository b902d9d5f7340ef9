"""Search for a quantisation config within the accuracy budget, and the measurements that it makes."""
