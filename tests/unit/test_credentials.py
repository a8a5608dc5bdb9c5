"""--secret and --ssh: where values come from, and what a step that requires one is told."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from test_front import graph

from xxpy.build.credentials import MOST_BYTES, Credentials, parse_credentials, require_given
from xxpy.errors import SourceError, UsageError


def secrets_of(*texts: str) -> dict[str, bytes]:
    return dict(parse_credentials(texts, ()).secrets)


def test_secrets_come_from_files_and_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f").write_bytes(b"in f\n\0\xff")
    Path("only").write_text("file only")
    monkeypatch.setenv("V", "in v")
    monkeypatch.setenv("ÜMLAUT", "ü")
    monkeypatch.delenv("UNSET", raising=False)
    assert secrets_of("id=a,src=f", "id=b,env=V", "type=file,id=c,source=f", "id=V", "id=only") == {
        "a": b"in f\n\0\xff", "b": b"in v", "c": b"in f\n\0\xff", "V": b"in v", "only": b"file only",
    }  # fmt: skip
    assert secrets_of("type=env,id=V", "id=x,type=env,src=V", "id=y,env=ÜMLAUT") == {
        "V": b"in v", "x": b"in v", "y": "ü".encode(),
    }  # fmt: skip
    # A variable that is not set is a secret that is not given; the step says whether it needs it.
    assert secrets_of("id=a,env=UNSET") == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("src=f", "bad-secret"), ("id=", "bad-secret"), ("id=a,src=f,env=V", "bad-secret"),
        ("id=a,key=v", "bad-secret"), ("id=a,type=vault", "bad-secret"), ("a", "bad-secret"),
        ("id=a,id=b", "bad-secret"), ("id=a,type=file,env=V", "bad-secret"), ("id=a,src=nowhere", "secret-unreadable"),
        ("id=a,src=/", "secret-unreadable"), ("id=a,src=big", "secret-unreadable"),
    ],
)  # fmt: skip
def test_secrets_that_are_refused(text: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f").write_text("x")
    Path("big").write_bytes(b"x" * (MOST_BYTES + 1))
    with pytest.raises(UsageError) as caught:
        secrets_of(text)
    assert caught.value.reason == reason and caught.value.remedy


def test_a_value_is_not_repeated_by_whatever_prints_it() -> None:
    assert "hush" not in repr(Credentials({"a": b"hush"}))
    with pytest.raises(UsageError) as caught:
        secrets_of("id=a,src=f,hush=hush-hush")
    assert "hush-hush" not in str(caught.value.lines())


def test_agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("agent")
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        found = parse_credentials((), ["default", "k=agent"]).agents
        assert found == {"default": tmp_path / "agent", "k": tmp_path / "agent"}
        Path("id_rsa").write_text("key")
        monkeypatch.delenv("SSH_AUTH_SOCK")
        for text, reason in {
            "default": "no-ssh-agent", "k=nowhere": "no-ssh-agent", "k=id_rsa": "ssh-key-file", "k=agent,id_rsa":
            "ssh-key-file", "": "bad-ssh", "k=": "bad-ssh",
        }.items():  # fmt: skip
            with pytest.raises(UsageError) as caught:
                parse_credentials((), [text])
            assert caught.value.reason == reason
            assert reason != "ssh-key-file" or "ssh-agent" in caught.value.remedy


def test_what_is_required_and_not_given_has_its_line() -> None:
    text = "FROM a\nRUN --mount=type=secret,id=may x\n\nRUN --mount=type=secret,id=must,required x\n"
    require_given(graph(text), Credentials({"must": b""}), "Dockerfile")
    with pytest.raises(SourceError) as caught:
        require_given(graph(text), Credentials(), "Dockerfile")
    assert caught.value.reason == "secret-missing" and caught.value.place == "Dockerfile:4"
    assert "--secret id=must" in caught.value.remedy
    agent = "FROM a\nRUN --mount=type=ssh,required x\n"
    require_given(graph(agent), Credentials({}, {"default": Path("/s")}), "Dockerfile")
    with pytest.raises(SourceError) as caught:
        require_given(graph(agent), Credentials({"default": b""}), "Dockerfile")
    assert caught.value.reason == "ssh-missing" and "--ssh default" in caught.value.remedy
