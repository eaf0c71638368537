"""MLflow: what a stage tells it, and which run made which output."""
