"""Trains and tests the models of a comparison, and reports the results."""
