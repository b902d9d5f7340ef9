"""Power and temperatures of a Jetson from the service of jetson-stats.

jetson-stats is AGPL-3.0 and optional: it is imported here alone, when it is asked for. Client and service must share
major.minor. The service samples at one pace for all its clients, the first one's.
"""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import Any, Callable

from edge.errors import BackendError, MissingDependencyError
from edge.telemetry.base import PowerSample, PowerSource
from edge.telemetry.boards import board_of_rails, coverage_of_rails, total_of_rails_mw
from edge.telemetry.power_monitors import find_rails, total_resolution_mw
from edge.telemetry.throttle_files import ThrottleFiles, find_zones

INTERVAL_S = 0.1
"""Requested seconds between samples, the shortest that the service keeps: what happens between two is lost to it."""

MIN_INTERVAL_S = 0.1
"""Shortest interval in s: the service cannot keep a faster one, and repeats the same values."""

_POLL_S = 0.005
"""Seconds between two looks for a new sample: what its time is uncertain by."""

_SILENCE_S = 1.0
"""Shortest silence in s that ends the stream. Energy is refused over a much shorter gap."""

_ANSWER_S = 15.0
"""Longest wait in s for an answer; the client itself waits without end for a service that accepts and is silent."""

_OFFLINE_C = -256.0

_USB_PORT = re.compile(r"(ucsi-source-psy-)?\d+-[0-9a-f]{4,}")
"""Pattern of a USB-C port, which jetson-stats 4 lists as a rail; its value is negotiated, not consumed power."""

_ROOT = Path("/")

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
        self._throttle: ThrottleFiles | None = None
        self._zones: dict[str, Path] = {}

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
        board = board_of_rails(self._names)
        # What the service does not tell, the kernel does where its files are seen: shunts and throttling.
        self.resolution_mw = total_resolution_mw(find_rails(_ROOT), board.summed) if board is not None else None
        self._throttle, self._zones = ThrottleFiles(_ROOT), find_zones(_ROOT)

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
        began_ns = time.perf_counter_ns()
        longest_s = max(3 * self.interval_s, _SILENCE_S)
        while True:
            try:
                # Its blocking form takes three intervals of silence for the end, and a busy machine makes them soon.
                is_alive = self._client.ok(spin=True)
            except Exception as error:
                # What the client's own thread met is raised here as it is: EOFError, ConnectionResetError, ...
                raise _stream_ended(str(error) or type(error).__name__) from error
            time_ns = time.perf_counter_ns()
            if not is_alive:
                raise _stream_ended("the client has stopped")
            # The client gives the last sample until there is another; the board's uptime tells them apart.
            uptime = self._client.uptime
            if uptime != self._last_uptime:
                self._last_uptime = uptime
                return self._sample(time_ns)
            if time_ns - began_ns > 1e9 * longest_s:
                raise _stream_ended(f"no new sample came for {longest_s:.1f} s")
            time.sleep(_POLL_S)

    def close(self) -> None:
        """Disconnect from the service; a call without a connection does nothing."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _sample(self, time_ns: int) -> PowerSample:
        rails_mw = self._rails_mw()
        gpu = next(iter(self._client.gpu.values()), {})
        clock_khz, limit_khz = (_float(gpu.get("freq", {}).get(name)) for name in ("cur", "max"))
        fan = next(iter(self._client.fan.values()), {})
        mode = self._client.nvpmodel
        temperatures_c = {name: _temperature_c(value) for name, value in self._client.temperature.items()}
        throttle, zones = self._throttle, self._zones
        processor = self._client.cpu
        return PowerSample(
            time_ns=time_ns,
            rails_mw=rails_mw,
            total_mw=total_of_rails_mw(rails_mw),
            temperatures_c=temperatures_c,
            gpu_load_percent=_float(gpu.get("status", {}).get("load")),
            gpu_clock_mhz=None if clock_khz is None else clock_khz / 1000,
            gpu_clock_limit_mhz=None if limit_khz is None else limit_khz / 1000,
            cpu_load_percent=_load_percent(processor.get("total", {})),
            cpu_clock_mhz=_mean_clock_mhz(processor, "cur"),
            cpu_clock_limit_mhz=_mean_clock_mhz(processor, "max"),
            event_counts=throttle.event_counts() if throttle else {},
            fan_percent=_float(next(iter(fan.get("speed", [])), None)),
            power_mode=None if mode is None else str(mode),
            active_alerts=throttle.active_alerts(
                {zones[name]: value for name, value in temperatures_c.items() if name in zones}
            )
            if throttle
            else {},
        )


def _connect(make_client: Callable[[float], Any], interval_s: float) -> Any:
    """Return a client that has received its first sample."""
    made: list[Any] = []
    failed: list[Exception] = []

    def start() -> None:
        end_ns = time.perf_counter_ns() + int(1e9 * _ANSWER_S)
        while not made and not failed:
            try:
                client = make_client(interval_s)
                client.start()
                made.append(client)
            except Exception as error:  # the caller turns it into words; a thread has nobody to raise to
                # The client waits for three intervals; a service that has just begun may take longer once.
                if "Error connection" not in str(error) or time.perf_counter_ns() > end_ns:
                    failed.append(error)
                time.sleep(_POLL_S)

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


def _load_percent(total: dict[str, Any]) -> float | None:
    # The service gives shares of a core's time in percent; idle includes what waits for a disk.
    idle = _float(total.get("idle"))
    return None if idle is None else min(max(100.0 - idle, 0.0), 100.0)


def _mean_clock_mhz(processor: dict[str, Any], name: str) -> float | None:
    cores = [_float(core.get("freq", {}).get(name)) for core in processor.get("cpu", []) if core.get("online")]
    known = [value for value in cores if value is not None]
    return sum(known) / len(known) / 1000 if known else None
