"""Control: moves what is observed towards what is wished, one sequential worker per endpoint.

An API operation writes the wished state and wakes a worker; nothing else starts, stops or routes anything. Control
may be killed at any moment: replicas and gateways go on, and the next control adopts what it finds.
"""
