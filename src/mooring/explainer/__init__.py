"""Online explanations (ExplainerConfig): which part of a prediction is due to which feature of its record.

The room has an edge, which lives in gateways (`solver`, `lanes`, `explanation`), and a work side, which lives in a
process of its own beside each gateway and is started by the first explained call (`process` and all the rest). The edge
moves bytes and computes nothing; the work side computes and opens no connection. They speak in `frames`.
"""
