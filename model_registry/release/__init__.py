"""What MLflow keeps of a release: runs, figures, the model card and plots."""
