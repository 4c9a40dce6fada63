"""Pure steps from trained to monitored model: no Prefect, no MLflow, importable in milliseconds."""
