"""Flags for every RUN: their forms, what they become in the graph, and that without them no step is another."""

from __future__ import annotations

import pytest
from test_front import graph, runs

from xxpy.build.graph import ExecOp, NetMode, SecurityMode, Ulimit
from xxpy.build.runsettings import (
    RunSettings,
    parse_add_host,
    parse_allow,
    parse_network,
    parse_size,
    parse_ulimit,
)
from xxpy.errors import DockerfileError, UsageError


def test_add_host() -> None:
    for text, pair in {
        "a.test:1.2.3.4": ("a.test", "1.2.3.4"),
        "a=1.2.3.4": ("a", "1.2.3.4"),
        "a:::1": ("a", "::1"),
        "a=[fe80::1]": ("a", "fe80::1"),
        "host.docker.internal:host-gateway": ("host.docker.internal", "host-gateway"),
    }.items():
        assert parse_add_host(text) == pair
    for text in (
        "a",
        "a:",
        ":1.2.3.4",
        "a b:1.2.3.4",
        "a\n:1.2.3.4",
        "a:1.2.3",
        "a:fe80::1%eth0",
        "a:b:c",
        "a b:host-gateway",
    ):
        with pytest.raises(UsageError) as caught:
            parse_add_host(text)
        assert caught.value.reason == "bad-add-host"


def test_sizes() -> None:
    for text, size in {"": 0, "5": 5, "64k": 65536, "128m": 128 << 20, "1G": 1 << 30, "1.5k": 1536, "2MiB": 2 << 20,
                       "3kb": 3072, "7 b": 7}.items():  # fmt: skip
        assert parse_size(text, "--shm-size") == size
    for text in ("x", "-1", "1x", "1mm", "9999999999999p", "1e3", "inf", "½"):
        with pytest.raises(UsageError) as caught:
            parse_size(text, "--shm-size")
        assert caught.value.reason == "bad-size"


def test_ulimits() -> None:
    assert parse_ulimit("nofile=1024:2048") == Ulimit("nofile", 1024, 2048)
    assert parse_ulimit("core=0") == Ulimit("core", 0, 0)
    assert parse_ulimit("memlock=-1:-1") == Ulimit("memlock", -1, -1)
    assert parse_ulimit("stack=8:-1") == Ulimit("stack", 8, -1)
    for text in ("nofile", "nofile=", "nofile=a", "files=1", "nofile=5:4", "nofile=-1:4", "nofile=1:2:3", "nofile=-2"):
        with pytest.raises(UsageError) as caught:
            parse_ulimit(text)
        assert caught.value.reason == "bad-ulimit"


def test_network_and_allow() -> None:
    assert parse_network("none") is NetMode.NONE and parse_network("default") is NetMode.UNSET
    assert not parse_allow(["network.host"]) and parse_allow(["network.host,security.insecure"])
    with pytest.raises(UsageError) as caught:
        parse_network("bridge")
    assert caught.value.reason == "bad-network"
    with pytest.raises(UsageError) as caught:
        parse_allow(["device"])
    assert caught.value.reason == "bad-allow"


TEXT = "FROM a\nRUN one\nRUN --network=host two\nRUN --network=default three\n"


def ops(settings: RunSettings, text: str = TEXT) -> list[ExecOp]:
    return [vertex.op for _, vertex in runs(graph(text, run=settings)) if isinstance(vertex.op, ExecOp)]


def test_what_is_given_is_in_every_step_and_a_step_says_its_own_network() -> None:
    given = RunSettings(NetMode.NONE, (("h", "::1"),), 1 << 20, (Ulimit("nofile", 1, 2),))
    one, two, three = ops(given)
    assert [each.network for each in (one, two, three)] == [NetMode.NONE, NetMode.HOST, NetMode.NONE]
    assert one.extra_hosts == (("h", "::1"),) and one.shm_size == 1 << 20 and one.ulimits == given.ulimits
    plain = [vertex.digest for vertex in graph(TEXT)]
    assert plain == [vertex.digest for vertex in graph(TEXT, run=RunSettings(insecure=True))]
    assert not set(plain[1:]) & {vertex.digest for vertex in graph(TEXT, run=given)}


def test_insecure_only_where_it_is_allowed() -> None:
    text = "FROM a\nRUN --security=insecure x\nRUN --security=sandbox y\n"
    insecure, sandbox = ops(RunSettings(insecure=True), text)
    assert insecure.security is SecurityMode.INSECURE and sandbox.security is SecurityMode.SANDBOX
    with pytest.raises(DockerfileError) as caught:
        ops(RunSettings(), text)
    assert caught.value.reason == "insecure-not-allowed" and "--allow security.insecure" in caught.value.remedy
    with pytest.raises(DockerfileError) as caught:
        ops(RunSettings(), "FROM a\nRUN --security=other x\n")
    assert caught.value.reason == "bad-flag"
