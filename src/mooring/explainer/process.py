"""The solver process."""
