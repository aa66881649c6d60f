"""The data path: one process that answers invocations from its last routes and hands everything else on.

`front` is the client's side of a connection and says what each request is; `invocation` is one call from choice of
variant to answer; `pipeline` is a route compiled; `routes` holds them, `route_channel` brings them; `forwarding`
takes API calls to control; `handover` gives S3's connections to the objects front; `process` puts it together.
"""
