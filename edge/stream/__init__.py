"""edge-demo: from a camera, stream, video or picture to a picture with its labels painted on.

sources.open_source -> captures -> live / file_sources -> pipeline -> painter -> sinks
"""
