"""A bar that stands still says why, at longer and longer intervals, and is quiet once it moves."""

import io
import time

from rich.console import Console

from actors.cluster.stall_report import shape_text, text_of
from ranking.runs.progress import Progress


def progress_that_explains(quiet, terminal=False):
    out = io.StringIO()
    progress = Progress(Console(file=out, width=200, force_terminal=terminal), terminal)
    progress.explain, progress.quiet = lambda: "no room", quiet
    return progress, out


def test_a_bar_that_stands_still_says_why_and_less_often():
    progress, out = progress_that_explains(0.2)
    said = []
    deadline = time.monotonic() + 10
    with progress.bar("labels", 10, "queries"):
        while len(said) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
            if out.getvalue().count("no room") > len(said):
                said.append(time.monotonic())
    assert len(said) == 3  # after .2, .4 and .8 s
    assert all(line.startswith("labels      nothing for 0:0") for line in out.getvalue().splitlines())
    assert said[2] - said[1] > 1.2 * (said[1] - said[0])


def test_steps_keep_it_quiet_and_no_steps_do_not():
    progress, out = progress_that_explains(0.5)
    with progress.bar("labels", 10, "queries") as bar:
        for _ in range(8):
            time.sleep(0.1)
            bar.advance()
        assert not out.getvalue()
        deadline = time.monotonic() + 10
        while not out.getvalue() and time.monotonic() < deadline:
            time.sleep(0.05)
            bar.advance(0, "still nothing")
    assert out.getvalue().count("no room") == 1


def test_a_bar_on_a_terminal_says_it_too_and_nobody_is_left_watching():
    progress, out = progress_that_explains(0.1, terminal=True)
    with progress.bar("labels", 10, "queries"):
        time.sleep(0.35)
    said = out.getvalue().count("no room")
    assert said >= 1
    time.sleep(0.5)
    assert out.getvalue().count("no room") == said


def test_what_is_waited_for_is_said_in_words():
    engine = shape_text({"GPU": 4.0, "CPU": 8.0, "teacher": 4.0, "bundle_group_abc": 0.001})
    assert text_of({engine: 2}, 0, {}) == "waiting for room for 2 x (8 CPU, 4 GPU, 4 teacher); no node is coming"
    told = text_of({engine: 1, "1 CPU": 3}, 2, {"teacher_a100: InsufficientInstanceCapacity": 1})
    assert told == (
        "waiting for room for 3 x (1 CPU) and 1 x (8 CPU, 4 GPU, 4 teacher); 2 nodes are coming; "
        "could not be started: teacher_a100: InsufficientInstanceCapacity"
    )
    assert text_of({}, 0, {}).startswith("nothing waits for room")
