"""Millrace's conversion worker: trained models of other frameworks to verified ONNX."""

import os

# onnxruntime reports its use to its makers, unless this is set before it is imported
os.environ['ORT_DISABLE_TELEMETRY'] = '1'
