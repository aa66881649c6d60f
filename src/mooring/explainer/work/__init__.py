"""One explained call in the solver process: what to ask the model for, how much at a time, what came of it."""
