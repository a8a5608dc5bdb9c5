"""Whole builds on busybox: what each instruction does, what is cached, what the image is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from support import BOTH, Xx, blob, config_of, index_of, last_layer, output_of


def test_both_platforms_the_build_stage_native_the_last_under_qemu(xx: Xx) -> None:
    done = xx.build(
        "FROM --platform=$BUILDPLATFORM busybox AS build\nARG TARGETARCH\nRUN uname -m >/$TARGETARCH\n"
        "FROM busybox\nARG TARGETARCH\nCOPY --from=build /$TARGETARCH /on\nRUN echo on $(cat /on) for $(uname -m)\n",
        "--platform", BOTH, "-t", "both",
    )  # fmt: skip
    assert done.code == 0, done
    host = os.uname().machine
    assert {f"on {host} for x86_64", f"on {host} for aarch64"} <= set(output_of(done).splitlines())
    index = blob(xx, index_of(done))
    assert [each["platform"]["architecture"] for each in index["manifests"]] == ["amd64", "arm64"]


def test_a_stage_without_the_target_runs_once(xx: Xx) -> None:
    text = "FROM --platform=$BUILDPLATFORM busybox AS a\nRUN echo once-for-all >/x; cat /x\nFROM busybox\n"
    text += "COPY --from=a /x /\n"
    done = xx.build(text, "--platform", BOTH, "--no-cache")
    assert done.code == 0, done
    assert output_of(done).count("once-for-all") == 1


def test_environment_user_folder_and_forms(xx: Xx) -> None:
    done = xx.build(
        "FROM busybox\nARG WHO=me\nENV GREETING=hello TWO='a b'\nWORKDIR /deep/er\nWORKDIR down\n"
        'RUN ["/bin/sh", "-c", "echo exec $GREETING $WHO $TWO $PWD $HOME"]\n'
        "USER 1234:99\nRUN id -u; id -g; id -G\nRUN <<EOF\necho heredoc\nEOF\n"
        'LABEL a="1" b=2\nEXPOSE 80\nVOLUME /data\nSTOPSIGNAL SIGINT\nENTRYPOINT ["/bin/sh"]\nCMD ["-c", "true"]\n',
        "-t", "all", "--build-arg", "WHO=you", "--label", "c=3",
    )  # fmt: skip
    assert done.code == 0, done
    assert output_of(done).splitlines() == ["exec hello you a b /deep/er/down /root", "1234", "99", "99", "heredoc"]
    config = config_of(xx, done)["config"]
    assert config["WorkingDir"] == "/deep/er/down" and config["User"] == "1234:99"
    assert config["Entrypoint"] == ["/bin/sh"] and config["Cmd"] == ["-c", "true"]
    assert config["Labels"] == {"a": "1", "b": "2", "c": "3"} and config["StopSignal"] == "SIGINT"
    assert config["ExposedPorts"] == {"80/tcp": {}} and config["Volumes"] == {"/data": {}}
    assert "GREETING=hello" in config["Env"] and not any(pair.startswith("WHO=") for pair in config["Env"])


def test_only_what_depends_on_a_changed_file_runs_again(xx: Xx) -> None:
    text = "FROM busybox\nRUN echo one\nCOPY a /a\nRUN echo two $(cat /a)\nCOPY b /b\nRUN echo three $(cat /b)\n"
    (xx.folder / "a").write_text("a1")
    (xx.folder / "b").write_text("b1")
    assert xx.build(text).code == 0
    (xx.folder / "b").write_text("b2")
    again = xx.build(text)
    assert output_of(again).splitlines() == ["three b2"], again
    (xx.folder / "a").write_text("a2")
    assert output_of(xx.build(text)).splitlines() == ["two a2", "three b2"]
    (xx.folder / "unrelated").write_text("x")
    assert output_of(xx.build(text)) == ""


def test_no_cache_runs_all_again(xx: Xx) -> None:
    text = "FROM busybox\nRUN echo said\n"
    assert xx.build(text).code == 0
    assert output_of(xx.build(text)) == ""
    assert output_of(xx.build(text, "--no-cache")) == "said"


def test_same_input_same_digest_in_another_store(xx: Xx, fresh: Xx) -> None:
    text = "FROM busybox\nCOPY f /f\nRUN mkdir /d; echo made >/d/x; ln /d/x /d/y; ln -s x /d/z; chown 5:6 /d/x\n"
    found = []
    for one in (xx, fresh):
        (one.folder / "f").write_text("content")
        done = one.build(text, "--platform", BOTH, "--no-cache", "-o", "type=oci,dest=out.tar",
                         env={"SOURCE_DATE_EPOCH": "1700000000"})  # fmt: skip
        assert done.code == 0, done
        found.append((index_of(done), (one.folder / "out.tar").read_bytes()))
    assert found[0] == found[1]
    assert config_of(xx, done)["created"] == "2023-11-14T22:13:20Z"


def test_nothing_of_the_engine_is_left_in_a_layer(xx: Xx) -> None:
    done = xx.build("FROM busybox\nRUN echo x >/made\n", "-t", "made", "--no-cache", "--host-ca", "auto")
    assert done.code == 0, done
    assert [name for name in last_layer(xx, done) if name not in ("etc", "run")] == ["made"]


def test_from_scratch_with_files_only_starts_no_program(xx: Xx) -> None:
    (xx.folder / "f").write_text("x")
    done = xx.build("FROM scratch\nCOPY f /\n", "--platform", "linux/riscv64,linux/s390x", env={"XX_RUNTIME": ""})
    assert done.code == 0, done


def test_a_step_without_network_sees_only_loopback(xx: Xx) -> None:
    done = xx.build("FROM busybox\nRUN --network=none ls /sys/class/net; ip link | grep -c '^[0-9]'\n", "--no-cache")
    assert done.code == 0, done
    assert output_of(done).splitlines()[-1] == "1"


def test_steps_are_confined(xx: Xx) -> None:
    done = xx.build(
        "FROM busybox\nRUN mount -t tmpfs none /tmp && echo mounted || true; unshare -U true && echo unshared || true;"
        " mknod /dev/sda b 8 0 && echo made || true; echo 1 >/proc/sys/kernel/printk && echo written || true;"
        " head -c1 /proc/kcore | wc -c; ls /proc/1/root/ >/dev/null; grep NoNewPrivs /proc/self/status\n",
        "--no-cache",
    )
    assert done.code == 0, done
    for word in ("mounted", "unshared", "made", "written"):
        assert word not in output_of(done).split(), done
    assert "\n0\n" in output_of(done)


def test_a_tagged_image_is_a_base(xx: Xx) -> None:
    assert xx.build("FROM busybox\nENV A=1\nRUN echo base >/base\n", "-t", "mine:1").code == 0
    done = xx.build("FROM mine:1\nRUN echo $A $(cat /base)\nRUN rm /base\n", "-t", "mine:2", "--no-cache")
    assert output_of(done).splitlines() == ["1 base"], done
    assert ".wh.base" in last_layer(xx, done)


def test_steps_that_do_not_depend_on_each_other_run_at_once(xx: Xx) -> None:
    xx.dockerfile(
        "FROM busybox AS a\nRUN echo a >/a; sleep 1\nFROM busybox AS b\nRUN echo b >/b; sleep 1\n"
        "FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\n"
    )
    done = xx.run("build", "--no-cache", "--progress", "rawjson", ".")
    assert done.code == 0, done
    events = [json.loads(line) for line in done.err.splitlines()]
    runs = {each["vertex"] for each in events if each.get("step", {}).get("text", "").startswith("RUN")}
    order = [each["event"] for each in events if each.get("vertex") in runs]
    assert order == ["step-started", "step-started", "step-done", "step-done"]


def test_print_plan_says_where_and_why(xx: Xx) -> None:
    xx.dockerfile(
        "FROM --platform=$BUILDPLATFORM busybox AS b\nRUN true\nFROM busybox\nCOPY --from=b /etc/passwd /\nRUN true\n"
    )
    done = xx.run("build", "--platform", BOTH, "--print", "plan-json", ".")
    assert done.code == 0, done
    rows = json.loads(done.out)["steps"]
    runs = {(row["line"], row["platforms"]): row["how"] for row in rows}
    assert runs[(2, "all platforms")] == "native" and runs[(4, "linux/arm64")] == "not run"
    assert {runs[(5, "linux/amd64")], runs[(5, "linux/arm64")]} == {"native", "emulated"}
    assert "linux/arm64" in xx.run("build", "--platform", BOTH, "--print", "plan", ".").out


def test_output_as_folder_metadata_and_iidfile(xx: Xx) -> None:
    done = xx.build(
        "FROM busybox\n",
        "-t",
        "x",
        "-o",
        "type=oci,dest=layout,tar=false",
        "--metadata-file",
        "m.json",
        "--iidfile",
        "i",
    )
    assert done.code == 0, done
    assert json.loads((xx.folder / "layout/oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    metadata = json.loads((xx.folder / "m.json").read_text())
    assert metadata["containerimage.digest"] == metadata["containerimage.descriptor"]["digest"] == index_of(done)
    image = blob(xx, blob(xx, index_of(done))["manifests"][0]["digest"])["config"]["digest"]
    assert metadata["containerimage.config.digest"] == image == (xx.folder / "i").read_text()


def test_quiet_prints_the_digest_alone(xx: Xx) -> None:
    xx.dockerfile("FROM busybox\n")
    done = xx.run("build", "-q", ".")
    assert re.fullmatch(r"sha256:[0-9a-f]{64}\n", done.out) and done.err == "", done


def test_two_builds_at_once_share_the_work(fresh: Xx) -> None:
    fresh.dockerfile("FROM busybox\nRUN echo worked; sleep 1; date +%N >/x\n")
    both = [fresh.start("build", "-t", "shared", "--progress", "plain", ".") for _ in range(2)]
    texts = [one.communicate(timeout=120)[0].decode() for one in both]
    assert [one.returncode for one in both] == [0, 0], texts
    assert sum(len(re.findall(r"^#\d+ \d+\.\d+ worked$", text, re.MULTILINE)) for text in texts) == 1, texts
    digests = {re.findall(r"sha256:[0-9a-f]{12}", text)[0] for text in texts}
    assert len(digests) == 1


def test_readers_accept_the_archive(xx: Xx) -> None:
    from conftest import lacking

    for program in ("skopeo", "umoci"):
        if shutil.which(program) is None:
            lacking(f"{program} is not installed")
    (xx.folder / "f").write_text("for readers")
    done = xx.build("FROM busybox\nCOPY f /deep/f\nRUN rm /etc/passwd\n", "--platform", BOTH, "-t", "r:1",
                    "-o", "type=oci,dest=out.tar", "-o", "type=oci,dest=layout,tar=false")  # fmt: skip
    assert done.code == 0, done
    for source in ("oci-archive:out.tar", "oci:layout:1"):
        for arch in ("amd64", "arm64"):
            target = f"oci:copied-{arch}:1"
            argv = ["skopeo", "--override-arch", arch, "--insecure-policy", "copy", source, target]
            subprocess.run(argv, cwd=xx.folder, check=True, capture_output=True)
    bundle = xx.folder / "bundle"
    argv = ["umoci", "unpack", "--rootless", "--image", "copied-arm64:1", str(bundle)]
    subprocess.run(argv, cwd=xx.folder, check=True, capture_output=True)
    assert (bundle / "rootfs/deep/f").read_text() == "for readers"
    assert not (bundle / "rootfs/etc/passwd").exists()


def test_host_ca_reaches_the_step_and_not_the_image(xx: Xx, tmp_path: Path) -> None:
    pem = tmp_path / "ca.pem"
    pem.write_text("-----BEGIN CERTIFICATE-----\nnot really\n")
    text = "FROM busybox\nRUN head -n1 $SSL_CERT_FILE; cat $APT_CONFIG\n"
    done = xx.build(text, "-t", "without-ca", "--no-cache", "--host-ca", str(pem))
    assert done.code == 0, done
    assert output_of(done).splitlines()[0] == "-----BEGIN CERTIFICATE-----"
    assert "CAInfo" in output_of(done)
    config = config_of(xx, done)
    assert "CERT" not in json.dumps(config["config"]) and "xx-host-ca" not in json.dumps(config)
    assert not any("host-ca" in name for name in last_layer(xx, done))
    # The certificates are no part of the cache key.
    assert output_of(xx.build(text)) == ""


def test_proxies_reach_the_step_and_nothing_else(xx: Xx) -> None:
    text = "FROM busybox\nRUN echo proxy $HTTP_PROXY $https_proxy\n"
    given = ("--build-arg", "HTTP_PROXY=http://me:secret@proxy.test", "--build-arg", "https_proxy=http://other.test")
    done = xx.build(text, "-t", "one", "--no-cache", *given)
    assert output_of(done) == "proxy http://me:secret@proxy.test http://other.test", done
    assert "secret" not in json.dumps(config_of(xx, done))
    # Another value is no reason to run again.
    again = xx.build(text, "-t", "other", "--build-arg", "HTTP_PROXY=http://third.test")
    assert output_of(again) == "" and index_of(again) == index_of(done)
    blobs = [path for path in (xx.store / "blobs/sha256").iterdir() if b"secret@" in path.read_bytes()]
    assert blobs == []
