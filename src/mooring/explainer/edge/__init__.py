"""The gateway's side: moves bytes between callers, replicas and the solver process, and computes nothing."""
