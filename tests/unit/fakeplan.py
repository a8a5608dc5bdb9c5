"""A small Plan for tests of what is shown: two platforms, a shared build stage, a final stage for each."""

from __future__ import annotations

from xxpy.build.graph import (
    CopyAction,
    ExecOp,
    FileOp,
    Graph,
    ImageConfig,
    Input,
    Label,
    Result,
    SourceOp,
    Vertex,
)
from xxpy.build.plan import Plan, make_plan
from xxpy.platforms import Platform

AMD64 = Platform.parse("linux/amd64")
ARM64 = Platform.parse("linux/arm64")


def run(command: str, after: Vertex, platform: Platform, stage: str, line: int) -> Vertex:
    op = ExecOp(("sh", "-c", command), (), "/")
    return Vertex(op, (Input(after.digest),), platform, Label(f"RUN {command}", stage, line, line))


def image(name: str, platform: Platform, stage: str, line: int) -> Vertex:
    source = SourceOp(f"docker-image://{name}@sha256:00")
    return Vertex(source, (), platform, Label(f"FROM {name}", stage, line, line, base=True))


def fake_plan(*targets: Platform) -> Plan:
    """Per target: compile natively, copy, run `hello --version` on the target. The build stage's begin is shared."""
    targets = targets or (AMD64, ARM64)
    base = image("debian:trixie", AMD64, "build", 1)
    prepare = run("apt-get install clang", base, AMD64, "build", 2)
    vertices, results = [base, prepare], []
    for target in targets:
        compiled = run(f"xx-clang --target={target.arch} hello.c", prepare, AMD64, "build", 4)
        small = image("busybox", target, "stage-1", 5)
        op = FileOp((CopyAction(1, ("hello",), "/hello"),))
        label = Label("COPY --from=build /hello /hello", "stage-1", 6, 6)
        copied = Vertex(op, (Input(small.digest), Input(compiled.digest)), None, label)
        said = run("/hello --version", copied, target, "stage-1", 7)
        vertices += [compiled, small, copied, said]
        results.append(Result(target, said.digest, ImageConfig()))
    return make_plan(Graph({one.digest: one for one in vertices}, tuple(results)), AMD64)


def digest_of_step(plan: Plan, text: str, platform: Platform | None = None) -> str:
    """The digest of the step whose label holds ``text`` and that serves ``platform``."""
    return next(
        digest
        for digest, step in plan.steps.items()
        if text in step.vertex.label.text and (platform is None or platform in step.targets)
    )
