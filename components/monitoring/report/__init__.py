"""The drift report: a page for people, Evidently's beside it, and JSON."""
