from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.wire.browsers import allowed_names, is_loopback, refusal
from tests.wire.botocore_half import CALM

HOST = (b"host", b"127.0.0.1:8080")
SIGNED = (b"authorization", b"AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/s3/aws4_request, Signature=0")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [HOST],
        [HOST, (b"origin", b"http://127.0.0.1:8080")],
        [(b"host", b"localhost"), (b"origin", b"http://localhost:80"), (b"sec-fetch-site", b"same-origin")],
        [(b"host", b"LOCALHOST:443"), (b"origin", b"https://localhost")],
        [HOST, (b"sec-fetch-site", b"none")],
    ],
)
@pytest.mark.parametrize("loopback", [True, False])
def test_what_passes(headers: list[tuple[bytes, bytes]], loopback: bool) -> None:
    assert refusal(headers, loopback=loopback) is None


@pytest.mark.parametrize(
    "headers",
    [
        [HOST, (b"origin", b"http://evil.example")],
        [HOST, (b"origin", b"null")],
        [HOST, (b"origin", b"")],
        [HOST, (b"origin", b"http://127.0.0.1:3000")],
        [HOST, (b"origin", b"http://127.0.0.1")],
        [HOST, (b"origin", b"http://127.0.0.1:8080@evil.example")],
        [HOST, (b"origin", b"file://127.0.0.1:8080")],
        [HOST, (b"origin", b"http://127.0.0.1:8080"), (b"origin", b"http://evil.example")],
        [(b"origin", b"http://127.0.0.1:8080")],
        [HOST, (b"sec-fetch-site", b"cross-site")],
        [HOST, (b"sec-fetch-site", b"Same-Site ")],
        [HOST, (b"origin", b"http://127.0.0.1:8080"), (b"sec-fetch-site", b"cross-site")],
    ],
)
@pytest.mark.parametrize("loopback", [True, False])
@pytest.mark.parametrize("signature", [[], [SIGNED]])
def test_a_page_of_somewhere_else_is_refused(
    headers: list[tuple[bytes, bytes]], loopback: bool, signature: list[tuple[bytes, bytes]]
) -> None:
    said = refusal([*signature, *headers], loopback=loopback)
    assert said is not None
    assert said.startswith("The request comes from a web page")


@pytest.mark.parametrize(
    "host",
    [
        *(b"localhost", b"localhost:8080", b"localhost.", b"LocalHost:1", b"bucket.localhost:8080", b"a.b.localhost"),
        *(b"127.0.0.1", b"127.0.0.2:80", b"127.1", b"10.0.0.1:8080", b"[::1]", b"[::1]:8080", b"[::ffff:127.0.0.1]"),
        *(b"", b" ", b"my-box", b"my-box:8080", b"MY-BOX.", b"bucket.s3.test:1"),
    ],
)
def test_names_of_a_server_on_loopback(host: bytes) -> None:
    names = allowed_names("My-Box, *.s3.test,,")
    assert refusal([(b"host", host)], loopback=True, allowed_hosts=names) is None


@pytest.mark.parametrize(
    "host",
    [
        *(b"rebind.evil.example", b"rebind.evil.example:8080", b"localhost.evil.example", b"notlocalhost", b"my-box2"),
        *(b"127.0.0.1.evil.example", b"localhost@evil.example", b"localhost:80:80", b"evil/.localhost", b"s3.test"),
        *(b"evil.example:80#.localhost", b"[::1", b"\xff.localhost", b"evil.example,.localhost", b"evils3.test"),
    ],
)
def test_any_other_name_is_refused_there_and_nowhere_else(host: bytes) -> None:
    names = allowed_names("my-box,*.s3.test")
    said = refusal([(b"host", host)], loopback=True, allowed_hosts=names)
    assert said is not None
    assert "MOORING_ALLOWED_HOSTS" in said
    assert refusal([(b"host", b"localhost"), (b"host", host)], loopback=True, allowed_hosts=names) is not None
    assert refusal([(b"host", host)], loopback=False) is None


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.9", "::1", "[::1]", "localhost"])
def test_loopback(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "", "192.168.1.4", "my-box", "localhost.evil.example"])
def test_not_loopback(address: str) -> None:
    assert not is_loopback(address)


hostile = st.binary(max_size=30) | st.sampled_from([b"localhost", b".", b":80", b"http://", b"evil", b"[::1]", b"null"])


@CALM
@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"host", b"origin", b"sec-fetch-site"]), st.lists(hostile, max_size=4).map(b"".join)
        ),
        max_size=4,
    )
)
def test_no_input_makes_it_raise(headers: list[tuple[bytes, bytes]]) -> None:
    said = refusal(headers, loopback=True, allowed_hosts=allowed_names("a,*.b"))
    assert said is None or (said.isascii() and said.isprintable())
