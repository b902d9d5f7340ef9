"""What a training keeps in its run folder so that a kill at any moment loses nothing, and how a training goes on there.

Nothing here needs TensorFlow: a build on a device reads run folders too.
"""
