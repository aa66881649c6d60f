"""Data capture: what was asked and answered, as AWS's records, durable before the caller has its answer.

Two sides that meet in the spool, a directory of journal segments: the edge writes them in the gateways (`observing`,
`writing`), and the work side seals and ships them from control (`shipping`). Both share `records`, `streams`, `spool`.
"""
