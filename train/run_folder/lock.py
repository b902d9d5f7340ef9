"""The lock of a run folder: one training at a time writes there, and a dead one does not block the next.

`run.lock` says who trains. Three things tell whether that process still does, and each has its place:

- flock(2) decides on one machine: the kernel lets go of it at the moment of death, whatever killed the process, and
  two that start at once cannot both have it. It also decides between machines where the file system passes it on.
- The identity of the process (edge.process_identity) decides for readers, which take no lock, and where the file system
  has no flock. A reboot has ended every process of before.
- A sign of life decides about other machines on a shared folder: the file's time is renewed every SIGN_OF_LIFE_S, and a
  training that has been silent for SILENCE_S counts as dead.

Sources: flock(2), proc(5).
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import platform
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from edge.console import storage_error
from edge.errors import InputError
from edge.process_identity import boot_id, is_alive, start_time, where_processes_live

try:
    import fcntl
except ImportError:  # no POSIX system
    fcntl = None  # type: ignore[assignment]

RUN_LOCK = "run.lock"

SIGN_OF_LIFE_S = 20.0
"""Time in s between two renewals of the lock."""

SILENCE_S = 120.0
"""Time in s without a renewal after which a training on another machine counts as dead."""


@dataclass(frozen=True)
class LockHolder:
    """The process that trains in a run folder, or the last one that did.

    Attributes:
        pid: process id, in its own namespace.
        start: time at which the process started, in ticks since boot; 0 where it is not known.
        where: what tells process ids of its machine, boot and container from others.
        host: name of its machine.
        boot: number of the boot of its machine; "" where the system has none.
        since_utc: time when it took the lock, ISO 8601.
    """

    pid: int
    start: int
    where: str
    host: str
    boot: str
    since_utc: str

    def words(self) -> str:
        """Return who it is and since when, for people."""
        machine = "" if self.where == where_processes_live() else f" on {self.host}"
        return f"process {self.pid}{machine}, since {self.since_utc}"


class RunLock:
    """The lock of a run folder, for a `with` block.

    Args:
        folder: run folder, which is made if it is not there.

    Raises:
        InputError: another training holds the folder (on entering the block).
        StorageError: the folder cannot be written to (on entering the block).
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / RUN_LOCK
        self._handle = -1
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> RunLock:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = self._take()
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, json.dumps(asdict(_this_holder())).encode(), 0)
        except OSError as error:
            self._close()
            raise storage_error(error, self._path) from error
        self._ended.clear()
        self._thread = threading.Thread(target=self._show_life, name="run lock", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        with contextlib.suppress(OSError):  # before it is let go of, so that nobody else's is removed
            self._path.unlink()
        self._close()

    def _take(self) -> int:
        """Return the open lock file, which this process holds."""
        while True:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
            try:
                has_flock = _flock(handle)
                holder = _read_holder(self._path)
                if has_flock is False:
                    raise _in_use(self._path.parent, holder)
                if not _is_same_file(handle, self._path):  # its holder removed it in between
                    os.close(handle)
                    continue
                on_this_kernel = holder is not None and bool(holder.boot) and holder.boot == boot_id()
                if holder is not None and not (has_flock and on_this_kernel) and _is_training(holder, self._path):
                    raise _in_use(self._path.parent, holder)
                return handle
            except BaseException:
                os.close(handle)
                raise

    def _show_life(self) -> None:
        while not self._ended.wait(SIGN_OF_LIFE_S):
            with contextlib.suppress(OSError):
                os.utime(self._handle)

    def _close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def holder_of(folder: Path) -> LockHolder | None:
    """Return the process that trains in a run folder now; None where none does. Nothing is written or locked.

    Args:
        folder: run folder, which may be read-only.
    """
    holder = _read_holder(folder / RUN_LOCK)
    return holder if holder is not None and _is_training(holder, folder / RUN_LOCK) else None


def _this_holder() -> LockHolder:
    pid = os.getpid()
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return LockHolder(pid, start_time(pid) or 0, where_processes_live(), platform.node(), boot_id(), now)


def _read_holder(path: Path) -> LockHolder | None:
    """Return the process that a lock file names; None where it names none, as in the moment of its making."""
    try:
        return LockHolder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _is_training(holder: LockHolder, path: Path) -> bool:
    """Return whether the process that a lock file names still trains, as far as one can tell from here."""
    if holder.where == where_processes_live():
        return is_alive(holder.pid, holder.start)
    if holder.boot != boot_id() and holder.host == platform.node():
        return False  # this machine has been started anew since
    try:
        return _folder_time_s(path.parent) - path.stat().st_mtime < SILENCE_S
    except OSError:
        return False


def _folder_time_s(folder: Path) -> float:
    """Return the time by the clock of the folder's file system, which may be another machine's."""
    try:
        with tempfile.TemporaryFile(dir=folder) as trial:
            return os.fstat(trial.fileno()).st_mtime
    except OSError:  # read-only
        return time.time()


def _flock(handle: int) -> bool | None:
    """Take flock on a file; return False where another process has it, None where there is no flock here."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without it: ENOLCK, ENOSYS, EOPNOTSUPP
        return None
    return True


def _is_same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _in_use(folder: Path, holder: LockHolder | None) -> InputError:
    who = holder.words() if holder is not None else "one that has just begun"
    stop = f"stop it with kill {holder.pid}" if holder is not None else "stop it"
    if holder is not None and holder.where != where_processes_live():
        stop = f"stop it on {holder.host}"
    return InputError(
        f"{folder} is in use by a running training: {who}. Next: wait until it has ended, {stop}, or another --output"
    )
