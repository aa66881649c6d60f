"""Online explanations (ExplainerConfig): which part of a prediction is due to which feature of its record.

The edge (`edge`) moves bytes in gateways and computes nothing. The rest lives in a process beside each gateway,
which the first explained call starts and which opens no connection: `process` runs calls (`work`), reads and writes
their bytes (`reading`) and solves them (`shapley`, of `estimation`). Both sides speak in `frames`. `preparing` is
control's: what must hold before an endpoint has an explainer.
"""
