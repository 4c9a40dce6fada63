"""Accuracy of stored predictions: measured with labels, and estimated before them."""
