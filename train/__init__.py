"""Training, on a workstation: Keras models, data pipelines, recipes and run folders."""
