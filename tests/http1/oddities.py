"""Messages as attackers write them: mostly right, and odd where servers and proxies have disagreed before."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st

LENGTHS = [b"%d", b"+%d", b"-%d", b"0%d", b"%d ", b" %d", b"0x%x", b"%d, %d", b"%d,%d", b"%d\t", b"%d;", b"%d\x0b", b""]
CODINGS = [
    b"chunked", b"Chunked", b" chunked", b"chunked ", b"xchunked", b"chunked, chunked", b"gzip, chunked", b"identity",
    b"chunked, identity", b"\x0bchunked", b"chunked\x00", b'"chunked"', b"chunked;q=1", b",chunked", b"chunked,", b"",
]  # fmt: skip
LINE_ENDS = [b"\r\n"] * 60 + [b"\n", b"\r", b"\r\r\n", b"\n\r\n", b"\r\n ", b"\x0b\r\n"]
NAMES = [
    b"Content-Length", b"content-length", b"Content-Length ", b" Content-Length", b"Content_Length",
    b"Content-Length\t", b"Transfer-Encoding", b"transfer-encoding", b"Transfer-Encoding ", b"\x00Transfer-Encoding",
    b"X", b"X-\xff", b"", b"Connection", b"Host", b"Expect", b"Upgrade", b"Trailer",
]  # fmt: skip
SIZES = [
    b"%x",
    b"0%x",
    b"%X",
    b"+%x",
    b"-%x",
    b"0x%x",
    b" %x",
    b"%x ",
    b"%x;a",
    b"%x;a=b",
    b'%x;a="\n"',
    b"%x\t",
    b"%x_",
    b"1%x",
]
CHUNK_ENDS = [b"\r\n"] * 50 + [b"", b"\n", b"\r", b"x\r\n", b"\r\n\r\n"]


def _either(usual: list[bytes], odd: list[bytes]) -> st.SearchStrategy[bytes]:
    return st.sampled_from([*usual * (4 * len(odd)), *odd])


@st.composite
def _framing(draw: st.DrawFn, size: int) -> list[tuple[bytes, bytes]]:
    """Header lines that say how long the body is, or almost."""
    lines = []
    for _ in range(draw(st.sampled_from([1] * 8 + [2]))):
        if draw(st.booleans()):
            form = draw(_either([b"%d"], LENGTHS))
            count = form.count(b"%")
            lines.append((draw(_either([b"Content-Length"], NAMES[:6])), form % ((size,) * count)))
        else:
            lines.append((draw(_either([b"Transfer-Encoding"], NAMES[6:10])), draw(_either([b"chunked"], CODINGS))))
    return lines


@st.composite
def _chunks(draw: st.DrawFn, body: bytes) -> bytes:
    cuts = sorted({0, len(body), *draw(st.lists(st.integers(0, len(body)), max_size=3))})
    wire = b""
    for start, end in pairwise(cuts):
        size = draw(_either([b"%x"], SIZES)) % (end - start)
        wire += size + draw(st.sampled_from(LINE_ENDS)) + body[start:end] + draw(st.sampled_from(CHUNK_ENDS))
    trailers = draw(st.sampled_from([b"", b"", b"X: y\r\n", b"Content-Length: 3\r\n", b"X: y\n", b" folded\r\n"]))
    return wire + b"0" + draw(st.sampled_from(LINE_ENDS)) + trailers + draw(st.sampled_from(LINE_ENDS))


SMUGGLED = b"POST /smuggled HTTP/1.1\r\nContent-Length: 0\r\n\r\n"


@st.composite
def messages(draw: st.DrawFn, start: bytes) -> bytes:
    """The bytes of one message, whose first line is `start` or nearly so."""
    body = draw(st.sampled_from([b"", b"x", b"hello world", SMUGGLED, b"0\r\n\r\n" + SMUGGLED]))
    lines = [(b"Host", b"localhost"), *draw(_framing(len(body)))]
    if draw(st.booleans()):
        lines.append(
            (draw(st.sampled_from(NAMES)), draw(st.sampled_from([b"y", b"close", b"a\x00b", b"a\rb", b"\xe9"])))
        )
    lines = draw(st.permutations(lines))
    colon = draw(_either([b": "], [b":", b" : ", b":\t", b" ", b"\r\n:"]))
    head = start + draw(st.sampled_from(LINE_ENDS))
    for name, value in lines:
        head += name + colon + value + draw(st.sampled_from(LINE_ENDS))
    framed = draw(_chunks(body)) if any(b"chunked" in value for _, value in lines) else body
    return head + draw(st.sampled_from(LINE_ENDS)) + framed


def pieces(data: bytes, places: list[int]) -> list[bytes]:
    """`data` in the parts in which it arrives."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a != b]
