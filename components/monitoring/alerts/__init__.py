"""Alerts: limits, open alerts, and messages."""
