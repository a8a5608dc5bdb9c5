from __future__ import annotations

import io
import json
import threading

import pytest
from fakeplan import AMD64, ARM64, digest_of_step, fake_plan
from rich.cells import cell_len
from rich.console import Console
from test_front import graph

from xxpy.build.engine.telling import InOrder
from xxpy.build.events import Event, Exporting, Notice, StepDone, StepOutput, StepStarted, Transfer
from xxpy.build.naming import step_names
from xxpy.build.plan import Plan, make_plan
from xxpy.build.progress import Plain, make_listener
from xxpy.build.progress_tty import Screen
from xxpy.errors import UsageError


def a_build(plan: Plan) -> list[Event]:
    apt, hello = digest_of_step(plan, "apt-get"), digest_of_step(plan, "--version", ARM64)
    return [
        StepDone(apt, 1.0, 0.0, cached=True),
        StepStarted(hello, 2.0),
        StepOutput(hello, b"hel"),
        StepOutput(hello, b"lo 1.0\n\x1b[2Jwarn"),
        StepDone(hello, 3.5, 1.5, cached=False),
        Notice("the host has no IPv6"),
        Exporting("writing out.tar"),
    ]


def test_plain_is_a_line_for_each_thing() -> None:
    plan, stream = fake_plan(), io.StringIO()
    listener = Plain(plan, stream, clock=lambda: 2.25)
    for event in a_build(plan):
        listener(event)
    assert stream.getvalue().splitlines() == [
        "#2 [linux/amd64 build 2/3] RUN apt-get install clang",
        "#2 CACHED",
        "",
        "#10 [linux/arm64 stage-1 3/3] RUN /hello --version",
        "#10 0.250 hello 1.0",
        "#10 0.250 warn",
        "#10 DONE 1.5s",
        "",
        "NOTICE: the host has no IPv6",
        "#11 writing out.tar",
    ]


def test_steps_of_a_cache_are_told_in_their_order() -> None:
    plan, stream = fake_plan(), io.StringIO()
    first, ran, second = (digest_of_step(plan, *each) for each in (("apt-get",), ("xx-clang",), ("--version", ARM64)))
    with make_listener("plain", plan, stream) as listener:
        tell = InOrder([first, second], listener)
        tell(StepStarted(second, 1.0, cached=True))
        tell(StepStarted(first, 1.0, cached=True))
        tell(StepStarted(ran, 1.0))
        tell(StepDone(second, 2.0, 0.0, cached=True))
        tell(StepDone(ran, 2.0, 1.0, cached=False))
        assert stream.getvalue().splitlines()[1:] == [f"#{step_names(plan)[ran].number} DONE 1.0s", ""]
        tell(StepDone(first, 3.0, 0.0, cached=True))
    assert [line[:10] for line in stream.getvalue().splitlines()[3:]] == [
        "#2 [linux/", "#2 CACHED", "", "#10 [linux", "#10 CACHED", "",
    ]  # fmt: skip


def test_what_is_held_back_is_told_when_the_build_ends() -> None:
    plan, told = fake_plan(), []
    first, second = (digest_of_step(plan, *each) for each in (("apt-get",), ("--version", ARM64)))
    tell = InOrder([first, second], told.append)
    done = StepDone(second, 2.0, 0.0, cached=True)
    tell(done)
    assert told == []
    tell.end()
    tell.end()
    assert told == [done]


def test_bytes_that_go_to_and_from_registries() -> None:
    plan, plain, raw = fake_plan(), io.StringIO(), io.StringIO()
    events = [Transfer("pulling a\x1b[2J", 0, 3_000_000), Transfer("pushing b", 0, 5), Exporting("writing"),
              Transfer("pulling a\x1b[2J", 1_550_000, 3_000_000)]  # fmt: skip
    screen = Screen(plan)
    with make_listener("plain", plan, plain) as first, make_listener("rawjson", plan, raw) as second:
        for event in events:
            first(event)
            second(event)
            assert screen.take(event) is None
    assert plain.getvalue().splitlines() == [
        "#11 pulling a: 0.0 of 3.0 MB", "#12 pushing b: 0.0 of 0.0 MB", "#13 writing", "#11 pulling a: 1.6 of 3.0 MB",
    ]  # fmt: skip
    last = {"event": "transfer", "text": "pulling a\x1b[2J", "done": 1_550_000, "total": 3_000_000}
    assert json.loads(raw.getvalue().splitlines()[-1]) == last
    assert "pulling a: 1.6 of 3.0 MB" in drawn(screen, 100, 10)[0]
    row = screen.take(Transfer("pulling a", 3_000_000, 3_000_000))
    assert str(row) == "=> pulling a: 3.0 of 3.0 MB" and "pulling" not in drawn(screen, 100, 10)[0]


def test_plain_tells_a_failure() -> None:
    plan, stream = fake_plan(), io.StringIO()
    hello = digest_of_step(plan, "--version", ARM64)
    with make_listener("plain", plan, stream) as listener:
        listener(StepDone(hello, 3.5, 1.5, cached=False, error="exit code 2\n\x1b[2J"))
    assert stream.getvalue().splitlines()[1] == "#10 ERROR: exit code 2 "


def test_rawjson_is_one_object_a_line_and_keeps_characters_whole() -> None:
    plan, stream = fake_plan(), io.StringIO()
    hello = digest_of_step(plan, "--version", ARM64)
    with make_listener("rawjson", plan, stream) as listener:
        for event in [*a_build(plan)[:3], StepOutput(hello, b"\xc3"), StepOutput(hello, b"\xbc\xe2")]:
            listener(event)
        listener(StepDone(hello, 4.0, 2.0, cached=False))
        listener(Exporting("writing"))
    objects = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [one["event"] for one in objects] == [
        "step-done", "step-started", "step-output", "step-output", "step-output", "step-done", "exporting",
    ]  # fmt: skip
    assert objects[0]["cached"] is True
    assert objects[1]["step"]["platform"] == "linux/arm64"
    assert objects[1]["step"]["how"] == "emulated"
    assert "step" not in objects[2]
    assert "".join(one.get("data", "") for one in objects) == "helü\ufffd"


def test_quiet_writes_nothing() -> None:
    plan, stream = fake_plan(), io.StringIO()
    with make_listener("quiet", plan, stream) as listener:
        for event in a_build(plan):
            listener(event)
    assert stream.getvalue() == ""


def test_auto_is_plain_where_there_is_no_terminal() -> None:
    plan, stream = fake_plan(), io.StringIO()
    with make_listener("auto", plan, stream) as listener:
        listener(a_build(plan)[0])
    assert "#2 CACHED\n" in stream.getvalue()


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UsageError) as caught, make_listener("fancy", fake_plan(), io.StringIO()):
        pass
    assert caught.value.reason == "progress-unknown"
    assert "rawjson" in caught.value.remedy


def test_a_closed_stream_ends_no_build() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    plan = fake_plan()
    with make_listener("plain", plan, Closed()) as listener:
        for event in a_build(plan):
            listener(event)


def test_a_stream_without_unicode_gets_escapes() -> None:
    raw = io.BytesIO()
    with make_listener("plain", fake_plan(), io.TextIOWrapper(raw, encoding="ascii")) as listener:
        listener(Notice("größe"))
        assert raw.getvalue() == b"NOTICE: gr\\xf6\\xdfe\n"


def test_many_threads_never_mix_lines() -> None:
    plan, stream = fake_plan(), io.StringIO()
    digests = list(plan.steps)
    with make_listener("plain", plan, stream) as listener:

        def work(digest: str) -> None:
            listener(StepStarted(digest, 0.0))
            for _ in range(200):
                listener(StepOutput(digest, b"0123456789\nabc"))
                listener(StepOutput(digest, b"def\n"))
            listener(StepDone(digest, 1.0, 1.0, cached=False))

        threads = [threading.Thread(target=work, args=(digest,)) for digest in digests]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    output = [line.split(" ", 2)[2] for line in stream.getvalue().splitlines() if "0123" in line or "abcdef" in line]
    assert len(output) == 400 * len(digests)
    assert set(output) == {"0123456789", "abcdef"}


def drawn(screen: Screen, width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    with console.capture() as capture:
        console.print(screen)
    return capture.get().splitlines()


def test_the_screen_shows_what_runs_with_its_last_lines() -> None:
    plan = fake_plan()
    screen = Screen(plan)
    for event in a_build(plan)[:4]:
        screen.take(event)
    lines = drawn(screen, 80, 24)
    assert lines[0].startswith("Building 1/10, 1 cached, 1 running, ")
    assert lines[1].startswith("=> [linux/arm64 stage-1 3/3] RUN /hello --version ")
    assert " emulated " in lines[1]
    assert [line.strip() for line in lines[2:]] == ["hello 1.0", "warn"]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 10), (20, 5), (8, 3), (1, 1)])
def test_the_screen_fits_every_terminal(width: int, height: int) -> None:
    plan = fake_plan()
    screen = Screen(plan)
    for digest in plan.steps:
        screen.take(StepStarted(digest, 0.0))
        screen.take(StepOutput(digest, ("漢字 " * 80 + "\n").encode() * 9))
    lines = drawn(screen, width, height)
    assert len(lines) <= max(height - 1, 2)
    assert all(cell_len(line) <= width for line in lines)


def test_finished_steps_leave_one_line() -> None:
    plan = fake_plan()
    screen = Screen(plan)
    left = [line for event in a_build(plan) if (line := screen.take(event)) is not None]
    console = Console(file=io.StringIO(), width=60)
    with console.capture() as capture:
        for line in left:
            console.print(line)
    assert capture.get().splitlines() == [
        "=> [linux/amd64 build 2/3] RUN apt-get install clang  cached",
        "=> [linux/arm64 stage-1 3/3] RUN /hello --ver… emulated 1.5s",
        "notice: the host has no IPv6",
    ]


def test_a_step_that_only_twins_are_found_in_may_fail() -> None:
    made = graph("FROM a\nRUN x\n", ARM64, twins=True)
    plan = make_plan(made, AMD64)
    (twin,) = made.twins.values()
    stream = io.StringIO()
    Plain(plan, stream)(StepDone(twin, 1.0, 1.0, cached=False, error="RUN x ended with exit code 1"))
    assert "NO TWINS: RUN x ended" in stream.getvalue() and "ERROR" not in stream.getvalue()
    assert "linux/amd64 twins" in stream.getvalue()
