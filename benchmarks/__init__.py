"""Scripts that compare the speed, the memory and the accuracy of this project with a named peer."""
