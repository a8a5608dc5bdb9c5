"""RUN --mount: what each form becomes, and what is refused with its line."""

from __future__ import annotations

import pytest
from test_front import AMD64, ARM64, graph, runs

from xxpy.build.graph import CacheOpt, CacheSharing, ExecOp, Graph, Mount, MountType, SecretOpt, SourceOp, Vertex
from xxpy.errors import DockerfileError, SourceError

BIND, CACHE, TMPFS, SECRET, SSH = (
    MountType.BIND, MountType.CACHE, MountType.TMPFS, MountType.SECRET, MountType.SSH,
)  # fmt: skip


def run_of(text: str) -> tuple[ExecOp, Vertex, Graph]:
    found = graph(text)
    (_, vertex) = runs(found)[-1]
    assert isinstance(vertex.op, ExecOp)
    return vertex.op, vertex, found


def only_mount(flags: str, before: str = "") -> Mount:
    op, _, _ = run_of(f"FROM a AS other\nFROM a\n{before}RUN {flags} x\n")
    root, mount = op.mounts
    assert root == Mount("/")
    return mount


MOUNTS = {
    "--mount=target=/t": Mount("/t", 1, "", True, -1),
    "--mount=dst=/t,source=/s/../q/": Mount("/t", 1, "q", True, -1),
    "--mount=type=bind,destination=/t,src=s,from=other,rw": Mount("/t", 1, "s", False, -1),
    "--mount=type=bind,target=/t,readwrite=false,id=of-no-use": Mount("/t", 1, "", True, -1),
    "--mount=type=bind,target=/t,ro=false": Mount("/t", 1, "", False, -1),
    "--mount=type=tmpfs,target=/t": Mount("/t", -1, "", False, -1, TMPFS),
    "--mount=type=tmpfs,target=/t,size=2M": Mount("/t", -1, "", False, -1, TMPFS, size=2 << 20),
    "--mount=type=cache,target=/c": Mount("/c", -1, "", False, -1, CACHE, CacheOpt("linux/amd64:/c")),
    "--mount=type=cache,target=/c,id=i,sharing=private,mode=0700,uid=5,gid=6,ro": Mount(
        "/c", -1, "", True, -1, CACHE, CacheOpt("i", CacheSharing.PRIVATE, 0o700, 5, 6)
    ),
    "--mount=type=cache,target=/c,from=other,source=/d": Mount(
        "/c", 1, "d", False, -1, CACHE, CacheOpt("linux/amd64:/c")
    ),
    "--mount=type=secret,id=s": Mount("/run/secrets/s", -1, "", True, -1, SECRET, secret=SecretOpt("s", optional=True)),
    "--mount=type=secret,target=/a/b": Mount("/a/b", -1, "", True, -1, SECRET, secret=SecretOpt("b", optional=True)),
    "--mount=type=secret,id=s,env=E,required": Mount("", -1, "", True, -1, SECRET, secret=SecretOpt("s", env="E")),
    "--mount=type=secret,id=s,env=E,dst=/f,required=true,mode=444,uid=1,gid=2": Mount(
        "/f", -1, "", True, -1, SECRET, secret=SecretOpt("s", 1, 2, 0o444, False, "E")
    ),
    "--mount=type=ssh": Mount(
        "/run/buildkit/ssh_agent.0", -1, "", True, -1, SSH, secret=SecretOpt("default", mode=0o600, optional=True)
    ),
    "--mount=type=ssh,id=k,target=/s,required=true,mode=0666,uid=7": Mount(
        "/s", -1, "", True, -1, SSH, secret=SecretOpt("k", 7, 0, 0o666)
    ),
}


@pytest.mark.parametrize("flags", MOUNTS)
def test_forms_and_defaults(flags: str) -> None:
    assert only_mount(flags) == MOUNTS[flags]


@pytest.mark.parametrize(
    "target",
    [
        "/var/cache/apt",
        "/var/lib/apt",
        "/var/lib/apt/lists",
        "/var/cache/apt/archives",
        "/var/cache/apk",
        "/var/cache/dnf",
    ],
)
def test_caches_of_package_managers_are_locked_unless_the_file_says_otherwise(target: str) -> None:
    for said, sharing in {"": "locked", ",sharing=shared": "shared", ",sharing=private": "private"}.items():
        cache = only_mount(f"--mount=type=cache,target={target}{said}").cache
        assert cache is not None and cache.sharing.value == sharing


def test_a_cache_without_an_id_is_of_its_platform_and_with_one_of_all() -> None:
    def ids(flags: str) -> set[str]:
        found = graph(f"FROM a\nRUN --mount=type=cache,target=/c{flags} x\n", AMD64, ARM64)
        ops = [vertex.op for _, vertex in runs(found)]
        return {mount.cache.id for op in ops if isinstance(op, ExecOp) for mount in op.mounts if mount.cache}

    assert ids("") == {"linux/amd64:/c", "linux/arm64:/c"}
    assert ids(",id=same") == {"same"}


def test_targets_are_relative_to_the_working_folder_and_values_are_expanded() -> None:
    before = "ARG WHERE=in\nENV FILE=f STAGE=other\nWORKDIR /w/d\n"
    mount = only_mount("--mount=target=../$WHERE,source=${FILE}s,from=$STAGE", before)
    assert (mount.dest, mount.selector) == ("/w/in", "fs")
    # A value with a comma stays one value.
    assert only_mount("--mount=type=cache,target=/c,id=$L", "ENV L=a,b\n").cache == CacheOpt("a,b")


def test_several_mounts_share_the_inputs_they_have_in_common() -> None:
    op, vertex, found = run_of(
        "FROM a AS s\nRUN s\nFROM a\nRUN --mount=target=/one --mount=from=s,target=/two --mount=target=/three,source=x "
        "--mount=type=ssh --mount=type=ssh,id=b x\n"
    )
    assert [mount.input for mount in op.mounts] == [0, 1, 2, 1, -1, -1]
    root, context, stage = (found.vertices[given.digest] for given in vertex.inputs)
    assert isinstance(root.op, SourceOp) and isinstance(context.op, SourceOp) and isinstance(stage.op, ExecOp)
    assert context.op.identifier == "local://context"
    assert [mount.dest for mount in op.mounts[-2:]] == ["/run/buildkit/ssh_agent.0", "/run/buildkit/ssh_agent.1"]
    assert "SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0" in op.env


def test_a_variable_of_the_file_goes_before_the_agents() -> None:
    op, _, _ = run_of("FROM a\nENV SSH_AUTH_SOCK=/mine\nRUN --mount=type=ssh x\n")
    assert [pair for pair in op.env if pair.startswith("SSH")] == ["SSH_AUTH_SOCK=/mine"]


def test_an_image_can_be_mounted() -> None:
    _, vertex, found = run_of("FROM a\nRUN --mount=from=tools:1,target=/t x\n")
    source = found.vertices[vertex.inputs[1].digest].op
    assert isinstance(source, SourceOp) and "tools:1" in source.identifier


BAD = [
    "type=volume,target=/t", "target=/t,colour=red", "source=/s", "target=/", "target=$nope", "type=cache,target=",
    "type=cache,target=/c,sharing=often", "type=tmpfs,target=/t,from=other", "type=tmpfs,target=/t,size=much",
    "target=/t,size=1m", "target=/t,required", "type=cache,target=/c,mode=rwx", "type=cache,target=/c,mode=99999",
    "type=cache,target=/c,uid=me", "type=cache,target=/c,uid=99999999999", "type=cache,target=/c,source=/x",
    "type=secret", "type=secret,id=a,source=b", "type=secret,id=a,required=perhaps", "type=secret,id=a,env=b=c",
    "type=ssh,from=other", "target", "target=/t,ro,rw", "target=/t,from=$nope", "id=x",
    "type=cache,target=/c,env=E", "target=/t,mode=0755",
]  # fmt: skip


@pytest.mark.parametrize("flag", BAD)
def test_what_is_not_understood_is_refused_with_its_line(flag: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        graph(f"FROM a AS other\nFROM a\n\nRUN --mount={flag} x\n")
    assert caught.value.place == "Dockerfile:4" and caught.value.remedy
    assert caught.value.reason == ("bad-size" if "much" in flag else "bad-mount")


def test_from_names_what_is_there() -> None:
    for name, kind in {"nothere": SourceError, "later": DockerfileError, "7": DockerfileError}.items():
        with pytest.raises(kind) as caught:
            graph(f"FROM a AS x\nRUN --mount=from={name},target=/t x\nFROM a AS later\nCOPY --from=x / /\n")
        assert caught.value.place == "Dockerfile:2"
