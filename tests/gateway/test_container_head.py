"""What a container gets is one request with the caller's body, whatever the caller's headers were."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.gateway.headers import INVOKE, STREAM, Api
from tests.http1 import reference
from tests.http1.test_parsing import Collector

ALLOWED = {
    b"accept",
    b"content-length",
    b"content-type",
    b"host",
    b"x-amzn-sagemaker-custom-attributes",
    b"x-amzn-sagemaker-forwarded-api",
    b"x-amzn-sagemaker-inference-id",
    b"x-amzn-sagemaker-session-id",
}
NAMES = st.one_of(
    st.sampled_from(sorted(INVOKE.known | STREAM.known)),
    st.sampled_from([b"content-length", b"transfer-encoding", b"host"]),
)
VALUES = st.binary(max_size=30)


@settings(max_examples=500)
@given(st.sampled_from([INVOKE, STREAM]), st.lists(st.tuples(NAMES, VALUES), max_size=6), st.binary(max_size=50))
def test_a_head_for_a_container_is_one_request(api: Api, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    """The parser decides which values there can be; what it lets pass goes on to the head."""
    lines = b"".join(b"%b: %b\r\n" % header for header in headers if header[0] not in (b"content-length", b"expect"))
    reader = Collector()
    reader.data_received(b"POST /endpoints/ep/invocations HTTP/1.1\r\n%b\r\n" % lines)
    for request in reader.requests:
        known = {name: value for name, value in request.headers if name in api.known}
        wire = api.container_head(known) + b"%d\r\n\r\n" % len(body) + body
        (message,) = reference.requests(wire)
        assert message.body == body
        assert {name for name, _ in message.headers} <= ALLOWED
        assert len({name for name, _ in message.headers}) == len(message.headers)
