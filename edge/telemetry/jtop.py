"""Power and temperatures of a Jetson from the service of jetson-stats.

jetson-stats is AGPL-3.0 and optional: it is imported here alone, when it is asked for. Client and service must share
major.minor. The service samples at one pace for all its clients, the first one's.
"""

from __future__ import annotations

import re
import threading
import time
from typing import Any, Callable

from edge.errors import BackendError, MissingDependencyError
from edge.telemetry.base import PowerSample, PowerSource, coverage_of_rails, total_of_rails_mw

INTERVAL_S = 0.5
"""Requested seconds between samples: the service reads far more than power, and takes CPU from what is measured."""

MIN_INTERVAL_S = 0.1
"""Shortest interval in s: the service cannot keep a faster one, and repeats the same values."""

_ANSWER_S = 15.0
"""Longest wait in s for an answer; the client itself waits without end for a service that accepts and is silent."""

_OFFLINE_C = -256.0

_USB_PORT = re.compile(r"(ucsi-source-psy-)?\d+-[0-9a-f]{4,}")
"""Pattern of a USB-C port, which jetson-stats 4 lists as a rail; its value is negotiated, not consumed power."""

_NEXT = "or choose --power sysfs or none"


class JtopSource(PowerSource):
    """Reads what the jtop service of jetson-stats shows.

    `time_ns` is the arrival of a sample: the service read the sensors up to one pass of its own before, which is tens
    of milliseconds.

    Args:
        interval_s: Seconds between samples. A service that others already use keeps its own interval, which this source
            then takes over.
        make_client: Function that takes the place of the class jtop.jtop in tests; its argument is the interval in
            seconds.
    """

    name = "jtop"
    package = "jtop"
    is_paced = True

    def __init__(self, interval_s: float = INTERVAL_S, make_client: Callable[[float], Any] | None = None) -> None:
        super().__init__(max(interval_s, MIN_INTERVAL_S))
        self._make_client = make_client
        self._client: Any = None
        self._last_uptime: Any = None
        self._names: tuple[str, ...] = ()

    def open(self) -> None:
        """Connect to the jtop service.

        Raises:
            MissingDependencyError: Jetson-stats is not installed.
            BackendError: The service does not run, has another version, or does not let this user in.
        """
        make_client = self._make_client or self._imported()
        self._client = _connect(make_client, self.interval_s)
        server_s = float(self._client.interval)
        if server_s > self.interval_s * 1.01:
            # A client that expects samples faster than they come takes the silence between them for the end.
            self._client.close()
            self.interval_s = server_s
            self._client = _connect(make_client, server_s)
        self._last_uptime = None
        self._names = tuple(self._rails_mw())
        if not self._names:
            self.close()
            raise BackendError(f"jtop finds no power rail on this machine, expected those of a Jetson. Next: {_NEXT}")
        self.covers = coverage_of_rails(self._names)

    def _rails_mw(self) -> dict[str, float | None]:
        """Return rail -> power in mW as the service has it now; a rail that fell out of its list is None."""
        power = self._client.power
        rails = {
            name: _float(values.get("power"))
            for name, values in power.get("rail", {}).items()
            if not _USB_PORT.fullmatch(name)
        }
        # jtop takes an input rail out of the rails and names it in the total.
        total = power.get("tot", {})
        if "name" in total:
            rails[total["name"]] = _float(total.get("power"))
        # It drops a rail whose files cannot be read, and its own total is smaller by it then.
        return {**dict.fromkeys(self._names), **rails}

    def _imported(self) -> Callable[[float], Any]:
        try:
            import jtop
        except ModuleNotFoundError as error:
            if error.name != "jtop":
                raise
            raise MissingDependencyError(
                "jetson-stats", "--power jtop", "sudo pip3 install -U jetson-stats, then sudo systemctl restart jtop"
            ) from None
        self.version = jtop.__version__
        return jtop.jtop

    def read(self) -> PowerSample:
        """Wait for the next sample, and return it.

        Raises:
            BackendError: The stream of samples ended, or repeats the same sample.
        """
        deadline = time.perf_counter_ns() + int(3e9 * max(self.interval_s, MIN_INTERVAL_S))
        while True:
            try:
                is_alive = self._client.ok()
            except Exception as error:
                # What the client's own thread met is raised here as it is: EOFError, ConnectionResetError, ...
                raise _stream_ended(str(error) or type(error).__name__) from error
            time_ns = time.perf_counter_ns()
            if not is_alive:
                raise _stream_ended("no sample came within three intervals")
            # A client that wakes without news gives the last sample again; the board's uptime tells them apart.
            uptime = self._client.uptime
            if uptime != self._last_uptime:
                self._last_uptime = uptime
                return self._sample(time_ns)
            if time_ns > deadline:
                raise _stream_ended(f"the same sample came again for {3 * self.interval_s:.1f} s")

    def close(self) -> None:
        """Disconnect from the service; a call without a connection does nothing."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _sample(self, time_ns: int) -> PowerSample:
        rails_mw = self._rails_mw()
        gpu = next(iter(self._client.gpu.values()), {})
        clock_khz = _float(gpu.get("freq", {}).get("cur"))
        fan = next(iter(self._client.fan.values()), {})
        mode = self._client.nvpmodel
        return PowerSample(
            time_ns=time_ns,
            rails_mw=rails_mw,
            total_mw=total_of_rails_mw(rails_mw),
            temperatures_c={name: _temperature_c(value) for name, value in self._client.temperature.items()},
            gpu_load_percent=_float(gpu.get("status", {}).get("load")),
            gpu_clock_mhz=None if clock_khz is None else clock_khz / 1000,
            fan_percent=_float(next(iter(fan.get("speed", [])), None)),
            power_mode=None if mode is None else str(mode),
        )


def _connect(make_client: Callable[[float], Any], interval_s: float) -> Any:
    """Return a client that has received its first sample."""
    made: list[Any] = []
    failed: list[Exception] = []

    def start() -> None:
        try:
            client = make_client(interval_s)
            client.start()
            made.append(client)
        except Exception as error:  # the caller turns it into words; a thread has nobody to raise to
            failed.append(error)

    thread = threading.Thread(target=start, name="jtop-connect", daemon=True)
    thread.start()
    thread.join(_ANSWER_S)
    if failed:
        raise _refusal(failed[0]) from failed[0]
    if not made:
        raise BackendError(
            f"jtop's service accepted but gave no answer within {_ANSWER_S:.0f} s. "
            f"Next: sudo systemctl restart jtop, {_NEXT}"
        )
    return made[0]


def _refusal(error: Exception) -> BackendError:
    """Return an error that explains the client's error to a person.

    jtop has one exception class; its sentences tell the cases apart. Source: jtop/jtop.py of 4.3.2 and 7.2.2.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    if "Mismatch version" in text:
        versions = text.split("Please run")[0].rstrip(". ")
        return BackendError(
            f"jtop's service and client are of two versions ({versions}), expected the same major.minor. "
            f"Next: install one version of jetson-stats in both, then sudo systemctl restart jtop, {_NEXT}"
        )
    if "Mismatch of Python" in text:
        return BackendError(
            "jtop's service runs on another Python, which this one cannot talk to. "
            f"Next: install jetson-stats in this environment from the same version as the service's, {_NEXT}"
        )
    if "can't access" in text or isinstance(error, PermissionError):
        return BackendError(
            "jtop's service does not let this user in, expected a member of the group jtop. "
            f"Next: sudo usermod -aG jtop $USER and log in again, {_NEXT}"
        )
    if "not active" in text or isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
        return BackendError(f"jtop's service does not run. Next: sudo systemctl restart jtop, {_NEXT}")
    return BackendError(f"jtop cannot be used: {text}. Next: sudo systemctl restart jtop, {_NEXT}")


def _stream_ended(why: str) -> BackendError:
    reason = " ".join(why.split())
    return BackendError(
        f"jtop's stream ended while it was needed: {reason}. "
        "Next: journalctl -u jtop says why; sudo systemctl restart jtop and run the command again"
    )


def _float(value: Any) -> float | None:
    return None if value is None or isinstance(value, (str, bool)) else float(value)


def _temperature_c(value: dict[str, Any]) -> float | None:
    temperature_c = _float(value.get("temp"))
    return None if not value.get("online", True) or temperature_c == _OFFLINE_C else temperature_c
