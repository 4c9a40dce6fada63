"""Deployments, schedules and automations on a Prefect server, and the process that serves them."""
