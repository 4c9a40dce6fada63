"""Flow parameters: one set of models is the Prefect UI's form, the YAML file, the Python call."""
