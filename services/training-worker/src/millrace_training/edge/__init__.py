"""Models for devices: full int8 TensorFlow Lite, what it costs, and the sources that run it."""
