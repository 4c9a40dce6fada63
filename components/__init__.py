"""Pure steps from a trained model to a monitored one: no Prefect, no MLflow, importable in milliseconds."""
