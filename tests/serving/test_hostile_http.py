"""Bytes that are no requests, requests that come slowly, in pieces or together: on the socket itself."""

from __future__ import annotations

import contextlib
import json
import socket

import numpy as np
import pytest
from serving_requests import URL, binary, body, check, steadily


@pytest.fixture(scope="module")
def steady(server):
    """The server; after all requests it answers as before, and has not grown."""
    yield from steadily(server)


def connect(server) -> socket.socket:
    host, port = server.http.split(":")
    return socket.create_connection((host, int(port)), timeout=240)


HEAD = b"POST " + URL.encode() + b" HTTP/1.1\r\nhost: a\r\n"


def answer(stream: socket.socket) -> bytes:
    found = b""
    while chunk := stream.recv(65536):
        found += chunk
        if b"\r\n\r\n" in found:
            return found
    return found


@pytest.mark.parametrize(
    "text",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 10,
        b"GET / HTTP/9.9\r\n\r\n",
        HEAD + b"content-length: -5\r\n\r\n",
        HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        HEAD + b"content-length: 99999999999999999999999\r\n\r\n",
        HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\nZZ\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\n-1\r\n",
        HEAD + b"x: \x00\r\n\r\n",
        HEAD + b"x: " + b"a" * 100_000 + b"\r\n\r\n",
        HEAD + b"".join(b"x%d: a\r\n" % number for number in range(20_000)) + b"\r\n",
    ],
    ids=[
        "tls",
        "version",
        "negative",
        "two-lengths",
        "overflow",
        "smuggled",
        "chunk",
        "negative-chunk",
        "nul",
        "long",
        "many",
    ],
)
def test_raw_http(steady, text):
    with connect(steady) as stream:
        try:
            stream.sendall(text)
            reply = answer(stream)
        except ConnectionError:
            reply = b""
    assert reply == b"" or reply.split(b" ")[1].startswith(b"4"), reply


def test_three_megabytes_in_chunks_of_one_byte(steady):
    with connect(steady) as stream:
        stream.sendall(HEAD + b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n")
        for _ in range(30):
            stream.sendall(b"1\r\nx\r\n" * 20_000)
        stream.sendall(b"0\r\n\r\n")
        assert b" 400 " in answer(stream)


def test_a_body_that_stops_halfway_leaves_nothing_behind(steady):
    for _ in range(50):
        with connect(steady) as stream:
            stream.sendall(HEAD + b"content-length: 60000000\r\n\r\n" + bytes(1000))
    check(steady)


def whole(stream: socket.socket) -> bytes:
    """What a request that arrives in one piece is answered with; empty where the connection is closed."""
    content = body()
    try:
        stream.sendall(HEAD + b"content-length: %d\r\n\r\n" % len(content) + content)
        return answer(stream)
    except ConnectionError:
        return b""


def closed(stream: socket.socket) -> bool:
    """Whether the other side has ended the connection, with a 408 at most."""
    stream.settimeout(0.02)
    try:
        reply = stream.recv(65536)
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    assert reply == b"" or b" 408 " in reply, reply
    return True


def test_slow_clients_are_closed(start, models):
    """Headers and bodies that trickle or never come, and connections that say nothing, end; others go on meanwhile."""
    server = start(models["perceptron"], "--receive-timeout", "1")
    # Connections that have been served are not timed, and a request in one piece is not slow: no stall can close these.
    while not whole(other := connect(server)):
        other.close()
    beginnings = {
        "silent": b"",
        "headers": HEAD,
        "body": HEAD + b"content-length: 1000000\r\n\r\n",
        "no body": HEAD + b"content-length: 100\r\n\r\n",
        "refused": HEAD.replace(b"perceptron", b"nothing") + b"content-length: 1000000\r\n\r\n",
    }
    trickles = {"headers": b"x: y\r\n", "body": b" ", "refused": b" "}
    open_ones = {name: connect(server) for name in beginnings}
    for name, stream in open_ones.items():
        stream.sendall(beginnings[name])
    assert b" 404 " in answer(open_ones["refused"])
    while open_ones:  # each round gives them time; all of them end, on any machine
        for name, stream in list(open_ones.items()):
            with contextlib.suppress(ConnectionError):
                stream.sendall(trickles.get(name, b""))
            if closed(stream):
                del open_ones[name]
                stream.close()
        assert b" 200 " in whole(other)
    other.close()


@pytest.mark.parametrize("value", [b"a", b"y: z\r\nx"], ids=["one-header", "many-headers"])
def test_headers_without_an_end_are_refused(steady, value):
    """Also where the parser keeps them to itself because not even one is complete."""
    with connect(steady) as stream:
        sent = 0
        with contextlib.suppress(ConnectionError):
            stream.sendall(HEAD + b"x: ")
            while sent < 2**24:
                stream.sendall(value * 4096)
                sent += len(value) * 4096
        assert sent < 2**24
    check(steady)


@pytest.mark.parametrize("size", [1, 2, 700, 5000, 100_000])
def test_a_body_in_pieces_is_the_body(steady, size):
    """However it is cut, and wherever its tensor comes to lie in memory."""
    rng = np.random.default_rng(size)
    array = rng.normal(size=(100, 64)).astype(np.float32)
    for blanks in range(4):
        content, headers = binary(array.tobytes(), shape=[100, 64])
        length = len(content) - array.nbytes
        content = b" " * blanks + content
        pieces = [content[at : at + size] for at in range(0, len(content), size)]
        head = HEAD + b"inference-header-content-length: %d\r\n" % (length + blanks)
        sent = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        with connect(steady) as stream:
            stream.sendall(head + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n" + sent + b"0\r\n\r\n")
            with stream.makefile("rb") as reader:
                reply = reader.read()
        assert b" 200 " in reply[:20], reply
        got = json.loads(reply.partition(b"\r\n\r\n")[2])["outputs"][0]["data"]
        status, _, plain = steady.call(URL, content[blanks:], headers)
        assert status == 200
        assert got == json.loads(plain)["outputs"][0]["data"]


def test_requests_in_one_go_are_answered_in_order(steady):
    """Pipelined: the next ones wait in the same connection, large bodies and answers without a body among them."""
    large, headers = binary(np.ones((2000, 64), np.float32).tobytes(), shape=[2000, 64])
    length = headers["Inference-Header-Content-Length"].encode()
    requests = [
        HEAD + b"content-length: %d\r\n\r\n" % len(body()) + body(),
        b"HEAD /v2 HTTP/1.1\r\nhost: a\r\n\r\n",
        HEAD + b"content-length: %d\r\ninference-header-content-length: %b\r\n\r\n" % (len(large), length) + large,
        b"GET /v2/health/live HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    ]
    with connect(steady) as stream, stream.makefile("rb") as reader:
        stream.sendall(b"".join(requests))
        reply = reader.read()
    assert [part[:3] for part in reply.split(b"HTTP/1.1 ")[1:]] == [b"200", b"405", b"200", b"200"]
    assert reply.endswith(b'{"live":true}')
