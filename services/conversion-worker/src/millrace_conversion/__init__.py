"""Millrace's conversion worker: trained models of other frameworks to verified ONNX."""
