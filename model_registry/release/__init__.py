"""Records of a release in MLflow: runs, figures, the model card and plots."""
