"""A process that is killed while it records costs the last second; the script kills it fifty times, this one once."""

from __future__ import annotations

from benchmarks.recording_kills import killed_run, left_of_run


def test_killed_recording_keeps_all_but_the_last_second(tmp_path):
    run_id, kill_ns = killed_run(tmp_path / "runs.db", tmp_path / "times", after_s=1.3)
    problems, frames, lost_s = left_of_run(tmp_path / "runs.db", run_id, tmp_path / "times", kill_ns, allowed_s=30.0)
    # How long the writer waits for a core is this machine's matter; that frames are kept, and the right ones, is not.
    assert problems == [] and frames > 0 and lost_s >= 0.0
