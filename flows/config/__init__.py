"""Parameters of the flows: one set of models is the Prefect UI's form, the YAML file and the Python call."""
