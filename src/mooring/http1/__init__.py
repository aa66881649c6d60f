"""HTTP/1.1 as Mooring speaks it: one server protocol for every edge, and a one-shot client.

`connection` is the protocol (callbacks, no coroutine) on top of `answering`, its writing half; `application` runs a
coroutine per request on top of it, `client` makes a single call over a Unix socket or TCP, `ticking` is the one coarse
timer behind every deadline.
Framing is httptools' (Node's parser); what that lets pass and RFC 9112 does not is refused in `framing`.
"""
