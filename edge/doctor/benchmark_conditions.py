"""Checks of the conditions of a benchmark: jtop for power, the power mode, pinned clocks."""

from __future__ import annotations

import re
from pathlib import Path

from edge.doctor.finding import ADVICE, NOT_HERE, OK, Finding
from edge.doctor.machine_probe import MachineProbe, distribution_version, major_minor
from edge.telemetry.nvpmodel import STATUS_FILE, TABLE_FILE, mode_names, mode_number

SERVICE_UNIT = "etc/systemd/system/jtop.service"
INSTALL_SERVICE = "sudo pip3 install -U jetson-stats && sudo systemctl restart jtop"


def check_benchmark_conditions(probe: MachineProbe) -> list[Finding]:
    """Check what measures power, and what keeps a speed the same from run to run."""
    if not probe.is_jetson:
        names = ("jtop client", "jtop service", "power mode")
        return [*(Finding(name, NOT_HERE, "no Jetson") for name in names), _cpu_governor(probe)]
    client = probe.package_version("jetson-stats")
    return [_client(client), _service(probe, client), _power_mode(probe), _clocks(probe)]


def _client(version: str | None) -> Finding:
    if version is None:
        meaning = "without it power is read from sysfs, or not at all"
        return Finding("jtop client", ADVICE, "not installed", meaning, "pip install jetson-stats")
    return Finding("jtop client", OK, version)


def service_version(probe: MachineProbe) -> str | None:
    """Return the version of jetson-stats that the jtop service runs; None where it is unknown.

    The service's unit names its script, and the first line of the script names its Python.
    Source: systemd.service(5), ExecStart; jetson-stats installs its unit as /etc/systemd/system/jtop.service.
    """
    command = re.search(r"^ExecStart=(\S+)", probe.text(SERVICE_UNIT) or "", re.MULTILINE)
    if not command:
        return None
    script = probe.text(command[1].lstrip("/")) or ""
    interpreter = re.match(r"#!\s*(\S+)", script)
    prefix = Path(interpreter[1]).parents[1] if interpreter and len(Path(interpreter[1]).parents) > 1 else Path("/usr")
    own = probe.glob(f"{str(prefix).lstrip('/')}/lib/python3*/site-packages")
    return distribution_version([*own, *probe.folders_of_system_python()], "jetson-stats")


def _service(probe: MachineProbe, client: str | None) -> Finding:
    name = "jtop service"
    if not probe.exists("run/jtop.sock"):
        if probe.in_container:
            mend = "docker run -v /run/jtop.sock:/run/jtop.sock ..."
        else:
            mend = "sudo systemctl restart jtop" if probe.exists(SERVICE_UNIT) else INSTALL_SERVICE
        return Finding(name, ADVICE, "does not run", "there is no /run/jtop.sock to read power from", mend)
    version = service_version(probe)
    if client and version and major_minor(client) != major_minor(version):
        return Finding(
            name,
            ADVICE,
            f"{version}, the client is {client}",
            "the two must share major and minor version",
            f"pip install 'jetson-stats=={version}'",
        )
    if not _may_read_socket(probe):
        return Finding(
            name,
            ADVICE,
            "runs, but this user is not in the group jtop",
            "its socket is open to that group alone",
            "sudo usermod -aG jtop $USER, then log in again",
        )
    if version is None:
        return Finding(name, OK, "runs, version unknown", "client and service must share major and minor version")
    return Finding(name, OK, version, "as installed; a service that has run since an older one needs a restart")


def _may_read_socket(probe: MachineProbe) -> bool:
    group = re.search(r"^jtop:[^:]*:(\d+):", probe.text("etc/group") or "", re.MULTILINE)
    return probe.is_root or group is None or int(group[1]) in probe.group_ids


def _power_mode(probe: MachineProbe) -> Finding:
    """Check the power mode that nvpmodel keeps.

    Source: Jetson Linux developer guide, "Supported Modes and Power Efficiency"; /etc/nvpmodel.conf.
    """
    settings = probe.text(TABLE_FILE) or ""
    modes = mode_names(settings)
    number = mode_number(probe.text(STATUS_FILE) or "")
    default = re.search(r"PM_CONFIG DEFAULT=(\d+)", settings)
    if number is None and default:
        number = int(default[1])
    if number is None:
        if probe.in_container:
            return Finding("power mode", NOT_HERE, "the host's; not visible in a container")
        return Finding("power mode", ADVICE, "unknown", "a speed means little without it", "sudo nvpmodel -q")
    name = modes.get(number, f"mode {number}")
    best = next((mode for mode, text in sorted(modes.items()) if text.startswith("MAXN")), 0)
    if number == best:
        return Finding("power mode", OK, f"{name} ({number})")
    return Finding(
        "power mode",
        ADVICE,
        f"{name} ({number})",
        f"clocks or cores are limited; {modes.get(best, 'the fastest one')} is not",
        f"sudo nvpmodel -m {best}",
    )


def _clocks(probe: MachineProbe) -> Finding:
    """Check whether clocks are pinned, as jetson_clocks does it: lowest and highest frequency are the same."""
    cpus = probe.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq")
    gpus = [path for path in probe.glob("sys/class/devfreq/*") if _is_gpu(path.name)]
    ranges = [(path, "scaling_min_freq", "scaling_max_freq") for path in cpus]
    ranges += [(path, "min_freq", "max_freq") for path in gpus]
    relative = [(path.relative_to(probe.root), low, high) for path, low, high in ranges]
    known = [(probe.number(str(path / low)), probe.number(str(path / high))) for path, low, high in relative]
    known = [pair for pair in known if None not in pair]
    if not known:
        return Finding(
            "clocks", ADVICE, "unknown", "neither cpufreq nor devfreq can be read", "sudo jetson_clocks --show"
        )
    loose = sum(low != high for low, high in known)
    if loose:
        meaning = "latency changes with the load of the moment before; pin the clocks for a benchmark"
        return Finding("clocks", ADVICE, f"{loose} of {len(known)} float", meaning, "sudo jetson_clocks")
    return Finding("clocks", OK, "pinned")


def _is_gpu(name: str) -> bool:
    # 17000000.gv11b on Xavier, 17000000.ga10b or 17000000.gpu on Orin, gpu-gpc-0 and the like on Thor.
    return bool(re.search(r"gv11b|ga10b|gpu", name))


def _cpu_governor(probe: MachineProbe) -> Finding:
    governor = probe.text("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if governor is None:
        return Finding("clocks", NOT_HERE, "no cpufreq", "the machine, or its hypervisor, decides")
    if governor == "powersave":
        meaning = "the CPU may be slow to speed up, which a benchmark shows as latency"
        return Finding("clocks", ADVICE, governor, meaning, "sudo cpupower frequency-set -g performance")
    return Finding("clocks", OK, f"governor {governor}")
