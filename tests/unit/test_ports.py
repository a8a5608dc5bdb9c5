"""EXPOSE's words, and the signals of STOPSIGNAL."""

from __future__ import annotations

import pytest
from test_front import graph, only

from xxpy.build.dockerfile.ports import exposed
from xxpy.build.dockerfile.signals import is_signal
from xxpy.errors import DockerfileError


@pytest.mark.parametrize(
    ("word", "ports", "mapped"),
    [
        ("80", ["80/tcp"], False),
        ("53/UDP", ["53/udp"], False),
        ("80/", ["80/tcp"], False),
        ("8000-8002/sctp", ["8000/sctp", "8001/sctp", "8002/sctp"], False),
        ("5-5", ["5/tcp"], False),
        (":80", ["80/tcp"], False),
        ("8080:80", ["80/tcp"], True),
        ("127.0.0.1:8080:80/udp", ["80/udp"], True),
        ("[::1]:8080-8090:80", ["80/tcp"], True),
        ("1-2:3-4", ["3/tcp", "4/tcp"], True),
    ],
)
def test_words(word: str, ports: list[str], mapped: bool) -> None:
    found = exposed(word)
    assert list(found.ports) == ports and found.mapped is mapped


@pytest.mark.parametrize(
    "word", ["", "x", "/tcp", "80/icmp", "65536", "9-8", "1-", "-1", "1:2-3", "1-2:1-3", "x:1:2", "1:2:"]
)
def test_no_ports(word: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        exposed(word)
    assert caught.value.reason == "bad-port"


def test_a_range_is_each_of_its_ports() -> None:
    config = only(graph("FROM a\nARG LAST=8001\nEXPOSE 8000-$LAST 53/udp\n")).config
    assert config.exposed_ports == ("53/udp", "8000/tcp", "8001/tcp")


@pytest.mark.parametrize("name", ["SIGTERM", "term", "9", "SIGRTMIN+3", "RTMAX-14", "64"])
def test_signals(name: str) -> None:
    assert is_signal(name)


@pytest.mark.parametrize("name", ["", "0", "-1", "SIG", "SIGNOPE", "RTMIN+16", "RTMAX-15", "SIGRTMIN-1", "TERM "])
def test_no_signals(name: str) -> None:
    assert not is_signal(name)
