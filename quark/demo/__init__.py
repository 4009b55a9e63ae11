"""The demonstration: a real training run on data that comes with scikit-learn."""
