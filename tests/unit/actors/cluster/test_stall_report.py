"""Stall warnings of a progress bar: reason, growing intervals, and silence while the bar advances."""

import io
import time

from rich.console import Console

from actors.cluster.stall_report import bundle_text, waiting_text
from ranking.runs.progress import Progress


def explaining_progress(stall_warning_seconds, terminal=False):
    out = io.StringIO()
    progress = Progress(Console(file=out, width=200, force_terminal=terminal), terminal)
    progress.explain, progress.stall_warning_seconds = lambda: "no room", stall_warning_seconds
    return progress, out


def test_stalled_bar_warns_at_growing_intervals():
    progress, out = explaining_progress(0.2)
    times = []
    deadline = time.monotonic() + 10
    with progress.bar("labels", 10, "queries"):
        while len(times) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
            if out.getvalue().count("no room") > len(times):
                times.append(time.monotonic())
    assert len(times) == 3  # after 0.2, 0.4 and 0.8 s
    assert all(line.startswith("labels      no progress for 0:0") for line in out.getvalue().splitlines())
    assert times[2] - times[1] > 1.2 * (times[1] - times[0])


def test_steps_prevent_warnings_and_notes_without_steps_do_not():
    progress, out = explaining_progress(0.5)
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


def test_terminal_bar_warns_until_it_ends():
    progress, out = explaining_progress(0.1, terminal=True)
    with progress.bar("labels", 10, "queries"):
        time.sleep(0.35)
    warnings = out.getvalue().count("no room")
    assert warnings >= 1
    time.sleep(0.5)
    assert out.getvalue().count("no room") == warnings


def test_waiting_text_lists_bundles_nodes_and_failed_launches():
    engine = bundle_text({"GPU": 4.0, "CPU": 8.0, "teacher": 4.0, "bundle_group_abc": 0.001})
    assert waiting_text({engine: 2}, 0, {}) == "waiting for 2 x (8 CPU, 4 GPU, 4 teacher); no node is starting"
    text = waiting_text({engine: 1, "1 CPU": 3}, 2, {"teacher_a100: InsufficientInstanceCapacity": 1})
    assert text == (
        "waiting for 3 x (1 CPU) and 1 x (8 CPU, 4 GPU, 4 teacher); 2 nodes are starting; "
        "failed to start: teacher_a100: InsufficientInstanceCapacity"
    )
    assert waiting_text({}, 0, {}).startswith("no resource request is pending")
