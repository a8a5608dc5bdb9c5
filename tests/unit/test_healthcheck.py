"""HEALTHCHECK and how Go writes times."""

from __future__ import annotations

import pytest
from test_front import graph, only

from xxpy.build.dockerfile.healthcheck import duration
from xxpy.build.graph import Healthcheck
from xxpy.errors import DockerfileError

S = 10**9


def check(text: str) -> Healthcheck | None:
    return only(graph(f"FROM a\nARG T=3s\nHEALTHCHECK {text}\n")).config.healthcheck


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NONE", Healthcheck(("NONE",))),
        ("none", Healthcheck(("NONE",))),
        ("CMD curl -f x || exit 1", Healthcheck(("CMD-SHELL", "curl -f x || exit 1"))),
        ('cmd ["curl", "-f x"]', Healthcheck(("CMD", "curl", "-f x"))),
        ("CMD [ -f /x ]", Healthcheck(("CMD-SHELL", "[ -f /x ]"))),
        ("CMD a \\\n  b", Healthcheck(("CMD-SHELL", "a   b"))),
        (
            "--interval=1m30s --timeout=500ms --start-period=0 --start-interval=$T --retries=4 CMD x",
            Healthcheck(("CMD-SHELL", "x"), 90 * S, S // 2, 0, 3 * S, 4),
        ),
    ],
)
def test_forms(text: str, expected: Healthcheck) -> None:
    assert check(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("CMD", "bad-healthcheck"),
        ("CMD []", "bad-healthcheck"),
        ("NONE x", "bad-healthcheck"),
        ("curl x", "bad-healthcheck"),
        ('CMD ["a", 1]', "bad-exec-form"),
        ("--interval=5 CMD x", "bad-duration"),
        ("--interval=-5s CMD x", "bad-duration"),
        ("--timeout=1us CMD x", "bad-duration"),
        ("--retries=-1 CMD x", "bad-flag"),
        ("--retries=many CMD x", "bad-flag"),
        ("--port=1 CMD x", "bad-flag"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        check(text)
    assert caught.value.reason == reason and caught.value.place == "Dockerfile:3" and caught.value.remedy


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("5s", 5 * S),
        ("1.5h", 5400 * S),
        (".5s", S // 2),
        ("1h2m3s4ms5us6ns", 3723004005006),
        ("1µs", 1000),
        ("-1s", -S),
        ("+1s", S),
        ("2540400h", 2540400 * 3600 * S),
        ("2562048h", None),
        ("99999999999999999999999h", None),
        ("", None),
        ("5", None),
        (".s", None),
        ("5 s", None),
        ("5d", None),
        ("s", None),
    ],
)
def test_durations(text: str, expected: int | None) -> None:
    assert duration(text) == expected
