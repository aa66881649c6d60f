"""Exact and sampled Shapley values of games given as numbers."""
