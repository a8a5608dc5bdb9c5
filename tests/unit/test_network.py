"""Networks of steps: what they get where slirp4netns is, and where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from xxpy.build.engine import network
from xxpy.build.engine.network import Networks, resolv_conf, wants_own
from xxpy.build.graph import ExecOp, NetMode
from xxpy.build.probes import State, probe_network
from xxpy.errors import HostError


def op(mode: NetMode) -> ExecOp:
    return ExecOp(("a",), (), "/", network=mode)


def test_the_resolver_is_the_only_one_and_the_rest_stays() -> None:
    host = "# c\nnameserver 127.0.0.53\nsearch a.test b.test\n nameserver ::1\noptions edns0\n"
    assert resolv_conf(host) == "# c\nsearch a.test b.test\noptions edns0\nnameserver 10.0.2.3\n"
    assert resolv_conf("") == "nameserver 10.0.2.3\n"


def test_without_the_program_steps_share_the_hosts_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "find_program", lambda name: None)
    (tmp_path / "resolv.conf").write_text("nameserver 9.9.9.9\n")
    networks = Networks(tmp_path, etc=tmp_path)
    networks.prepare()
    assert networks.refusal == "slirp4netns is not installed"
    for mode, path in ((NetMode.UNSET, None), (NetMode.HOST, None), (NetMode.NONE, "")):
        with networks.given(op(mode)) as given:
            assert given.path == path and given.resolv == "nameserver 9.9.9.9\n"
    assert [wants_own(op(mode)) for mode in NetMode] == [mode is NetMode.UNSET for mode in NetMode]


def test_a_program_that_does_not_serve_is_named_with_its_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "_make_namespace", lambda path: None)
    program = tmp_path / "slirp4netns"
    program.write_text("#!/bin/sh\necho no tun here >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(network, "find_program", lambda name: str(program))
    networks = Networks(tmp_path)
    networks.prepare()
    assert "no tun here" in networks.refusal and "\n" not in networks.refusal


def test_a_network_is_used_again_by_one_step_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_make_namespace", lambda path: None)
    monkeypatch.setattr(network, "_connect", lambda program, path, host_loopback: None)
    monkeypatch.setattr(network, "find_program", lambda name: "/bin/true")
    networks = Networks(tmp_path)
    networks.prepare()
    with networks.given(op(NetMode.UNSET)) as one, networks.given(op(NetMode.UNSET)) as two:
        assert one.path != two.path
    with networks.given(op(NetMode.UNSET)) as again:
        assert again.path in (one.path, two.path) and again.gateway == "10.0.2.2"


def test_a_second_network_that_cannot_be_made_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(network, "_make_namespace", refuse)
    monkeypatch.setattr(network, "find_program", lambda name: "/bin/true")
    with pytest.raises(HostError) as caught, Networks(tmp_path).given(op(NetMode.UNSET)):
        pass
    assert caught.value.reason == "no-network" and "--network=host" in caught.value.remedy


def test_doctor_names_what_is_missing(tmp_path: Path) -> None:
    assert probe_network(tmp_path / "tun").state is State.WARN
