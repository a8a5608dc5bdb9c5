"""Whole builds with RUN --mount and the flags for RUN: what a step sees, and that it stays nowhere else."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import signal
import socket
import subprocess
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support import BOTH, Done, Xx, config_of, last_layer, output_of


def lines_of(done: Done) -> list[str]:
    assert done.code == 0, done
    return output_of(done).splitlines()


# -- bind ------------------------------------------------------------------------------------------------------------


def test_bind_shows_the_context_without_what_is_ignored_and_is_read_only(xx: Xx) -> None:
    (xx.folder / "d").mkdir()
    (xx.folder / "d/f").write_text("of the context")
    (xx.folder / "private").write_text("x")
    (xx.folder / ".dockerignore").write_text("private\n")
    done = xx.build(
        "FROM busybox\nWORKDIR /w\nRUN --mount=target=. cat d/f; echo; ls; echo no >d/g || echo refused\n"
        "RUN --mount=source=d/f,target=/etc/one cat /etc/one; echo; ls -ln /etc/one | cut -c1-10\n",
        "-t", "bound",
    )  # fmt: skip
    lines = lines_of(done)
    assert lines[:3] == ["of the context", "Dockerfile", "d"] and "refused" in lines and "private" not in lines
    assert lines[-2:] == ["of the context", "-rw-r--r--"]
    assert not any("one" in name for name in last_layer(xx, done))


def test_bind_of_a_stage_and_of_an_image(xx: Xx) -> None:
    text = (
        "FROM busybox AS made\nRUN mkdir -p /out/deep; echo made >/out/deep/f; ln -s /out/deep /link\nFROM busybox\n"
        "RUN --mount=from=made,source=/link,target=/in --mount=from=busybox,target=/image "
        "cat /in/f; ls /image/bin/sh; echo no >/in/g || echo refused\n"
    )
    lines = lines_of(xx.build(text))
    assert lines[0] == "made" and "/image/bin/sh" in lines and lines[-1] == "refused"


def test_what_is_written_to_a_bind_is_thrown_away(xx: Xx) -> None:
    (xx.folder / "d").mkdir()
    (xx.folder / "d/f").write_text("old\n")
    done = xx.build(
        "FROM busybox AS s\nRUN echo stage >/f\nFROM busybox\n"
        "RUN --mount=target=/c,source=d,rw --mount=from=s,target=/s,rw "
        "echo new >/c/f; rm /s/f; echo g >/c/g; cat /c/f; ls /s/f || true\n"
        "RUN --mount=target=/c,source=d --mount=from=s,target=/s cat /c/f /s/f; ls /c\n"
    )
    lines = lines_of(done)
    assert lines[0] == "new" and lines[-3:] == ["old", "stage", "f"]
    assert (xx.folder / "d/f").read_text() == "old\n" and not (xx.folder / "d/g").exists()


def test_a_changed_file_runs_only_the_step_that_shows_it_again(xx: Xx) -> None:
    for name in ("a", "b"):
        (xx.folder / name).mkdir()
        (xx.folder / name / "f").write_text(f"{name}1\n")
    text = (
        "FROM busybox AS one\nRUN --mount=source=a,target=/m cat /m/f\n"
        "FROM busybox AS two\nRUN --mount=source=b,target=/m cat /m/f\n"
        "FROM scratch\nCOPY --from=one /bin/sh /\nCOPY --from=two /bin/ls /\n"
    )
    assert sorted(lines_of(xx.build(text))) == ["a1", "b1"]
    assert lines_of(xx.build(text)) == []
    (xx.folder / "b/f").write_text("b2\n")
    (xx.folder / "unrelated").write_text("x")
    assert lines_of(xx.build(text)) == ["b2"]


def test_mounts_in_mounts_need_no_folder_there_and_leave_none(xx: Xx) -> None:
    (xx.folder / "f").write_text("f")
    (xx.folder / "secret").write_text("s")
    done = xx.build(
        "FROM busybox\nWORKDIR /src\n"
        "RUN --mount=type=cache,target=node_modules/.cache --mount=type=secret,id=s,target=/src/etc/s --mount=target=. "
        "ls /src; ls -d /src/node_modules/.cache; cat /src/etc/s; echo; touch /src/x || echo refused\n",
        "-t", "within", "--secret", "id=s,src=secret", "--no-cache",
    )  # fmt: skip
    lines = lines_of(done)
    assert {"node_modules", "etc", "/src/node_modules/.cache", "s"} <= set(lines) and lines[-1] == "refused"
    assert sorted(path.name for path in xx.folder.iterdir()) == ["Dockerfile", "f", "secret"]
    assert [name for name in last_layer(xx, done) if name not in ("etc", "src")] == []


def test_nothing_of_mount_points_is_left_in_the_layer(xx: Xx) -> None:
    (xx.folder / "f").write_text("f")
    done = xx.build(
        "FROM busybox\nRUN --mount=type=cache,target=/deep/er/cache --mount=type=tmpfs,target=/deep/tmp "
        "--mount=type=secret,id=f --mount=target=/ctx --mount=source=f,target=/one/file --mount=type=ssh "
        "touch /deep/er/cache/x /deep/tmp/y; echo z >/made\n",
        "-t", "points", "--secret", "id=f,src=f", "--no-cache",
    )  # fmt: skip
    assert done.code == 0, done
    assert [name for name in last_layer(xx, done) if name not in ("etc", "run")] == ["made"]


# -- cache -----------------------------------------------------------------------------------------------------------


def test_a_cache_stays_and_is_of_its_platform_unless_it_has_an_id(fresh: Xx) -> None:
    text = (
        "FROM busybox\nARG N\nRUN --mount=type=cache,target=/own --mount=type=cache,id=all,target=/all "
        "echo $(uname -m)$N >>/own/x; echo $N >>/all/$(uname -m); echo own: $(cat /own/x); sleep 0.2; "
        "echo all: $(ls /all)\n"
    )
    first = lines_of(fresh.build(text, "--platform", BOTH, "--build-arg", "N=1"))
    assert {"own: x86_641", "own: aarch641"} <= set(first)
    second = lines_of(fresh.build(text, "--platform", BOTH, "--build-arg", "N=2"))
    assert {"own: x86_641 x86_642", "own: aarch641 aarch642"} <= set(second)
    assert second.count("all: aarch64 x86_64") == 2
    # What is in a cache is no reason to run a step again, and --no-cache does not empty it.
    assert lines_of(fresh.build(text, "--platform", BOTH, "--build-arg", "N=2")) == []
    again = fresh.build(text, "-t", "cached", "--build-arg", "N=3", "--no-cache")
    assert "own: x86_641 x86_642 x86_643" in lines_of(again)
    assert not any("own" in name or "all" in name for name in last_layer(fresh, again))


def test_a_cache_may_begin_with_a_stage_and_be_another_users(xx: Xx) -> None:
    text = (
        "FROM busybox AS seed\nRUN mkdir /s; echo seed >/s/f\nFROM busybox\nUSER 1234\n"
        "RUN --mount=type=cache,target=/c,from=seed,source=s cat /c/f\n"
        "RUN --mount=type=cache,target=/mine,uid=1234,gid=5,mode=0700 ls -dln /mine | cut -c1-40; touch /mine/x\n"
    )
    lines = lines_of(xx.build(text))
    assert lines[0] == "seed" and re.match(r"drwx------ +2 1234 +5 ", lines[1])


MEET = """\
FROM busybox AS {name}
RUN --mount=type=cache,target={target}{sharing} --mount=type=cache,target=/meet,id={meet} touch /meet/{name} /{name}; \
    for each in $(seq {tries}); do [ -e /meet/one ] && [ -e /meet/two ] && echo met && exit; sleep 0.1; done; echo alone
"""


def meet(xx: Xx, tries: int, sharing: str, target: str = "/c") -> bool:
    """Whether two steps with one cache ran at once: each waits for the other, ``tries`` tenths of a second."""
    about = {"target": target, "sharing": sharing, "tries": tries, "meet": os.urandom(4).hex()}
    text = "".join(MEET.format(name=name, **about) for name in ("one", "two"))
    done = xx.build(f"{text}FROM scratch\nCOPY --from=one /one /\nCOPY --from=two /two /\n", "--no-cache")
    lines = sorted(lines_of(done))
    # Of two that run in turns the second finds what the first has left.
    assert lines in (["met", "met"], ["alone", "met"]), done
    return lines == ["met", "met"]


def test_locked_and_private_and_shared(xx: Xx) -> None:
    assert not meet(xx, 15, ",sharing=locked,id=l")
    assert meet(xx, 600, ",sharing=shared,id=s")
    assert meet(xx, 600, ",sharing=private,id=p")


def test_apts_cache_is_locked_without_a_word(xx: Xx) -> None:
    assert not meet(xx, 15, "", "/var/cache/apt") and not meet(xx, 15, "", "/var/lib/apt/lists")
    assert meet(xx, 600, ",sharing=shared", "/var/cache/apt")


def test_a_killed_build_loses_nothing_of_a_cache(xx: Xx) -> None:
    cache = "--mount=type=cache,target=/c,id=killed,sharing=locked"
    xx.dockerfile(f"FROM busybox\nRUN {cache} echo kept >/c/f; echo written; sleep 600\n")
    process = xx.start("build", "--no-cache", "--progress", "plain", ".")
    assert process.stdout is not None
    for line in process.stdout:
        if line.endswith(b" written\n"):
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    began = time.monotonic()
    assert lines_of(xx.build(f"FROM busybox\nRUN {cache} cat /c/f\n")) == ["kept"]
    # The step that was killed would sleep longer.
    assert time.monotonic() - began < 300


# -- tmpfs, secret, ssh ----------------------------------------------------------------------------------------------


def test_tmpfs(xx: Xx) -> None:
    done = xx.build(
        "FROM busybox\nRUN --mount=type=tmpfs,target=/t,size=1m df -k /t | tail -n1 | tr -s ' ' | cut -d' ' -f1,2; "
        "head -c 2000000 /dev/zero >/t/x || echo full\nRUN ls /t || echo gone\n"
    )
    lines = lines_of(done)
    assert lines[0] == "tmpfs 1024" and "full" in lines and lines[-1] == "gone"


SECRET = "tell-nobody-0f8e2b"


def holding(files: Iterable[Path]) -> list[str]:
    """Those of ``files`` that hold the secret, as it is or in a compressed layer."""
    found = []
    for path in files:
        data = b""
        # A layer that is being packed is no whole gzip yet.
        with contextlib.suppress(OSError, EOFError, zlib.error):
            data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            data += gzip.decompress(data) if data[:2] == b"\x1f\x8b" else b""
        if SECRET.encode() in data:
            found.append(str(path))
    return found


def files_of(folder: Path, since: float = 0.0) -> Iterator[Path]:
    """The files below ``folder`` that were written after ``since``; it may change meanwhile."""
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            with contextlib.suppress(OSError):
                if path.lstat().st_mtime >= since:
                    yield path


def test_a_secret_reaches_the_step_and_nothing_else(fresh: Xx, tmp_path: Path) -> None:
    began = time.time() - 1
    file = tmp_path / "secret-file"
    file.write_text(SECRET)
    fresh.dockerfile(
        "FROM busybox\nRUN --mount=type=secret,id=file --mount=type=secret,id=file,target=/other,mode=0444,uid=7 "
        "--mount=type=secret,id=var,env=VAR,required --mount=type=secret,id=none,env=NONE "
        "ls -ln /run/secrets/file /other | cut -c1-30; echo ${#VAR} ${NONE-unset}; "
        "test $VAR = $(cat /run/secrets/file) && test $VAR = $(cat /other) && md5sum /other; "
        "df /run/secrets/file | tail -n1 | cut -c1-5; sleep 3; touch /made\n"
    )
    given = ("--secret", f"id=file,src={file}", "--secret", "id=var,env=GIVEN")
    argv = fresh.argv("build", *given, "--progress", "rawjson", "-t", "s", "-o", "type=oci,dest=out.tar", ".")
    out, seen = run_watched(fresh, argv, {"GIVEN": SECRET})
    text = out.decode()
    for word in ("-r--------", "-r--r--r--", f"{len(SECRET)} unset", "  /other", "tmpfs"):
        assert word in text, text
    assert SECRET not in text and SECRET not in (fresh.folder / "out.tar").read_bytes().decode("latin-1")
    assert seen == [], seen
    assert holding(files_of(fresh.store, began)) == [] and holding(files_of(fresh.folder)) == []
    # Another value, or none where it is not required, is no reason to run again.
    file.write_text("other")
    again = fresh.run("build", "--progress", "plain", *given, ".", env={"GIVEN": "other"})
    assert lines_of(again) == []


def run_watched(xx: Xx, argv: list[str], env: dict[str, str]) -> tuple[bytes, list[str]]:
    """What the build printed, and the command lines and files of the store that held the secret while it ran."""
    began = time.time()
    process = subprocess.Popen(
        argv, cwd=xx.folder, env=xx.environment(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    seen: set[str] = set()

    def watch() -> int:
        looks = 0
        while process.poll() is None:
            seen.update(holding(Path("/proc").glob("[0-9]*/cmdline")))
            seen.update(holding(files_of(xx.store, began - 1)))
            looks += 1
            time.sleep(0.1)
        return looks

    with ThreadPoolExecutor() as pool:
        watcher = pool.submit(watch)
        out, _ = process.communicate(timeout=120)
        assert watcher.result() > 5
    assert process.returncode == 0, out
    return out, sorted(seen)


def test_what_is_required_and_not_given_ends_the_build_before_the_first_step(xx: Xx) -> None:
    text = "FROM busybox\nRUN echo first\nRUN --mount=type=secret,id=token,required {}echo second\n"
    done = xx.build(text.format(""), "--no-cache")
    assert done.code == 5 and "ERROR: Dockerfile:3: " in done.err and "--secret id=token" in done.err, done
    assert output_of(done) == ""
    done = xx.build("FROM busybox\nRUN echo first\nRUN --mount=type=ssh,required true\n", "--no-cache")
    assert done.code == 5 and "ERROR: Dockerfile:3: " in done.err and "--ssh default" in done.err, done
    # What is cached needs it no more; what does not require it runs without.
    assert xx.build(text.format(""), "--secret", "id=token,env=T", env={"T": "x"}).code == 0
    assert lines_of(xx.build(text.format(""))) == []
    assert (
        lines_of(xx.build("FROM busybox\nRUN --mount=type=secret,id=no ls /run/secrets || echo none\n"))[-1] == "none"
    )


@contextlib.contextmanager
def fake_agent(at: Path) -> Iterator[None]:
    """Answers every message with ``agent:`` and the message."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(at))
        server.listen()

        def answer() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    client.sendall(b"agent:" + client.recv(100))

        threading.Thread(target=answer, daemon=True).start()
        yield
        server.shutdown(socket.SHUT_RDWR)


ASK = (
    "perl -MIO::Socket::UNIX -e '"
    'my $s = IO::Socket::UNIX->new(Peer => $ENV{SSH_AUTH_SOCK}) or die "no: $!"; print $s $ARGV[0]; $s->flush;'
    " $s->shutdown(1); print <$s>, qq(\\n)' "
)


def test_an_agent_reaches_the_step_also_for_another_user(xx: Xx, tmp_path: Path) -> None:
    at = tmp_path / "agent"
    text = (
        f"FROM debian:trixie\nRUN --mount=type=ssh ls -ln $SSH_AUTH_SOCK; {ASK} one\nUSER 1234\n"
        f"RUN --mount=type=ssh,id=k,target=/tmp/s,uid=1234,mode=0640 ls -ln $SSH_AUTH_SOCK; {ASK} two\n"
        "RUN --mount=type=ssh,id=nobody ls $SSH_AUTH_SOCK || echo none\n"
    )
    with fake_agent(at):
        given = ("-t", "asked", "--no-cache", "--ssh", "default", "--ssh", f"k={at}")
        done = xx.build(text, *given, env={"SSH_AUTH_SOCK": str(at)})
    lines = lines_of(done)
    assert re.match(r"srw------- 1 0 0 .*/run/buildkit/ssh_agent\.0$", lines[0]) and lines[1] == "agent:one"
    assert re.match(r"srw-r----- 1 1234 0 .*/tmp/s$", lines[2]) and lines[3] == "agent:two" and lines[-1] == "none"
    assert not any("SSH_AUTH" in pair for pair in config_of(xx, done)["config"].get("Env", []))


# -- flags -----------------------------------------------------------------------------------------------------------


def test_without_a_network_there_is_loopback_alone(xx: Xx) -> None:
    show = "ip -o link | cut -d: -f2 | tr -d '\\n'; ping -c1 -W2 127.0.0.1 >/dev/null && echo ' answers'"
    text = f"FROM busybox\nRUN {show}\nRUN --network=host ip -o link | wc -l\nRUN --network=none {show} # again\n"
    first, host, last = lines_of(xx.build(text, "--network", "none"))
    assert first == last == " lo answers" and int(host) > 1
    assert lines_of(xx.build("FROM busybox\nRUN ip -o link | wc -l\n", "--network", "host"))[0] == host


@contextlib.contextmanager
def greeter() -> Iterator[int]:
    """A server on the host's loopback that says hello to whoever connects; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with server.accept()[0] as connection:
                        connection.sendall(b"hello\n")

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def test_a_step_has_a_network_of_its_own(xx: Xx) -> None:
    with greeter() as port:
        ask = f"nc -w 2 $TO {port} </dev/null 2>/dev/null || echo refused"
        text = (
            "FROM busybox\n"
            "RUN readlink /proc/self/ns/net && echo $(ls /sys/class/net) && grep -c : /proc/net/dev\n"
            f"RUN TO=127.0.0.1; {ask}\nRUN TO=10.0.2.2; {ask} # the gateway\n"
            f"RUN --network=host TO=127.0.0.1; {ask}\n"
        )
        lines = lines_of(xx.build(text, "--no-cache"))
        assert lines[0].startswith("net:[") and lines[0] != os.readlink("/proc/self/ns/net")
        assert lines[1:3] == ["eth0 lo", "2"] and lines[3:] == ["refused", "refused", "hello"]
        asked = f"FROM busybox\nRUN TO=host; {ask}\n"
        assert lines_of(xx.build(asked, "--add-host", "host:host-gateway")) == ["hello"]
        assert lines_of(xx.build(asked, "--add-host", "host:host-gateway", "--network", "host")) == ["hello"]


def test_two_steps_at_once_may_serve_the_same_port(xx: Xx) -> None:
    # A server whose stdin ends closes its half, and then a client may go before it has said its word.
    ask = "for n in $(seq 600); do echo $WHO | nc -w 60 127.0.0.1 5432 2>&- && break; sleep 0.1; done"
    serve = f"mkfifo /in; timeout 60 nc -l -p 5432 <>/in >/got & {ask}; wait; cat /got"
    stages = "".join(f"FROM busybox AS {who}\nRUN WHO={who}; {serve}\n" for who in "ab")
    done = xx.build(f"{stages}FROM busybox\nCOPY --from=a /got /a\nCOPY --from=b /got /b\n", "--no-cache")
    assert sorted(lines_of(done)) == ["a", "b"], done


def test_hosts_shm_and_limits(xx: Xx) -> None:
    shown = "grep test /etc/hosts; df -k /dev/shm | tail -n1 | tr -s ' ' | cut -d' ' -f2; ulimit -n -S; ulimit -n -H"
    text = f"FROM busybox\nRUN {shown}\n"
    given = ("--add-host", "one.test:10.1.2.3", "--add-host", "two.test=[::2]", "--shm-size", "3m",
             "--ulimit", "nofile=123:456")  # fmt: skip
    done = xx.build(text, "-t", "limited", *given)
    found = [" ".join(line.split()) for line in lines_of(done)]
    assert found == ["10.1.2.3 one.test", "::2 two.test", "3072", "123", "456"]
    assert "etc/hosts" not in last_layer(xx, done)
    assert lines_of(xx.build(text, *given)) == []
    other = lines_of(xx.build(f"{text}RUN true\n", "--shm-size", "4m", "--add-host", "x.test:::1"))
    assert "4096" in other


def test_insecure_is_allowed_by_name(xx: Xx) -> None:
    text = "FROM busybox\nRUN --security=insecure mkdir /m && mount -t tmpfs none /m && echo mounted\n"
    assert xx.build(text).code == 3
    assert lines_of(xx.build(text, "--allow", "security.insecure")) == ["mounted"]
