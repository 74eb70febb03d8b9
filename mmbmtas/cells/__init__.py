"""The search of dense prediction cells: an Optuna study of short trainings on cached features."""
