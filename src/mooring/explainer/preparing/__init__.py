"""Control's side: what must hold before an endpoint has an explainer, and the baseline that it needs. No NumPy."""
