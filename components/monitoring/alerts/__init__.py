"""When somebody is told: limits, open alerts, and messages."""
