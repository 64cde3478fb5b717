"""ONNX graphs from weights: what an architecture says, its layers and steps, and the graph they become."""
