"""Serves SageMaker script contract."""
