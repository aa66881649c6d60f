"""What `shapley` is made of: which coalitions are asked for, and what is made of their values. Numbers only."""
