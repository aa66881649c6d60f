"""AWS's wire: which service a request is for, and its parsing, validation and serialization from botocore's shapes.

Every member, bound, enum and pattern comes from the service models that the installed botocore ships; nothing here
lists a shape by hand, and a botocore update brings AWS's new fields by itself. The package does no I/O beyond reading
those models once, knows no asyncio, and never imports botocore's code: in a gateway that import alone costs 0.12 s
and 13 MB, while the models are plain data (`service_models`).

Rooms: `recognition` and `sigv4` read whose request it is, and `browsers` refuses those of foreign web pages;
`json_protocol`, `rest_json` and `query_protocol` turn bytes into parameters and answers into bytes; `validation` and
`patterns` hold a request against its shape, and `invocation_checks` is the compiled form of that for the gateway's hot
path; `errors` is what all protocols serialize.
"""
