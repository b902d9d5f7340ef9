"""Whether the process that something belongs to still lives."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from edge.process_identity import boot_id, is_alive, start_time, where_processes_live


def test_this_process_is_alive_under_its_own_start_alone():
    own = start_time(os.getpid())
    assert is_alive(os.getpid(), own or 0)
    assert is_alive(os.getpid(), 0)
    assert own is None or not is_alive(os.getpid(), own + 1)


def test_process_that_has_ended_is_not_alive_while_its_parent_has_not_noticed():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        start = start_time(process.pid)
        deadline_s = time.monotonic() + 30.0
        while start is not None and is_alive(process.pid, 0):  # it is not waited for: it stays as a zombie
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
    assert not is_alive(process.pid, start or 0)


def test_process_that_never_was_is_not_alive():
    assert not is_alive(4194305, 0)
    assert not is_alive(1 << 40, 0)
    assert start_time(4194305) is None


def test_place_of_processes_is_the_same_for_all_on_this_machine():
    told = "from edge.process_identity import *; print(where_processes_live(), boot_id(), sep='|')"
    printed = subprocess.run([sys.executable, "-c", told], stdout=subprocess.PIPE, check=True).stdout.decode().strip()
    assert printed == f"{where_processes_live()}|{boot_id()}"
    assert len(where_processes_live()) == 8
