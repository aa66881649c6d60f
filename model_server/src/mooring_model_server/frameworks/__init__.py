"""A module per framework: what its container does where a script is silent. Each imports its framework lazily."""
