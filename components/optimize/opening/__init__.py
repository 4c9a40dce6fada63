"""Opening a model from outside: what it means, and its way to FP32 ONNX."""
