"""ONNX graphs: their structure, one plain form, batch axis and features."""
