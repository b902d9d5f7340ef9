"""Classification networks that segmentation models build on."""
