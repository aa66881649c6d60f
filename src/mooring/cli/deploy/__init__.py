"""`mooring deploy`: from a directory, a file or an `s3://` URI to an endpoint in service.

`sources` says what is taken, `guessing` what serves it, `packing` makes the archive. `preparing` makes a plan of that,
which holds the very requests that `deploying` sends and `equivalents` prints: so the printed lines do what the command
did. `following` shows what the endpoint does from then on.
"""
