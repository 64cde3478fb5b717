"""Image sources, the camera model, the generator model and the files of a dataset version."""
