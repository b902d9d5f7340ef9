"""Checks of what reads pictures, videos and cameras: OpenCV, its GStreamer support, and the devices."""

from __future__ import annotations

from edge.doctor.finding import ADVICE, MISSING, NOT_HERE, OK, Finding
from edge.doctor.machine_probe import Answer, MachineProbe

WHEELS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
ASK_OPENCV = "import cv2, re; print(cv2.__version__, bool(re.search(r'GStreamer:\\s+YES', cv2.getBuildInformation())))"
INSTALL_ON_JETSON = "sudo apt update && sudo apt install python3-opencv"
INSTALL_ELSEWHERE = "pip install opencv-python-headless"


def check_image_input(probe: MachineProbe) -> list[Finding]:
    """Check OpenCV, its GStreamer support, and the camera devices."""
    answer = probe.ask_python(ASK_OPENCV)
    return [_opencv(probe, answer), _gstreamer(probe, answer), _cameras(probe)]


def _wheels(probe: MachineProbe) -> list[str]:
    return [name for name in WHEELS if probe.package_version(name)]


def _opencv(probe: MachineProbe, answer: Answer) -> Finding:
    if answer.worked:
        return Finding("OpenCV", OK, answer.text.split()[0])
    meaning = "pictures cannot be read or resized"
    if not probe.has_module("cv2"):
        if probe.system_has_module("cv2"):
            found, mend = "hidden from this environment", "python3 -m venv --system-site-packages --clear .venv"
        else:
            found, mend = "not installed", INSTALL_ON_JETSON if probe.is_jetson else INSTALL_ELSEWHERE
        return Finding("OpenCV", MISSING, found, meaning, mend)
    if "numpy" in answer.text.lower() or "_ARRAY_API" in answer.text:
        # An OpenCV that was compiled for NumPy 1, as JetPack's is, cannot load beside NumPy 2.
        mend = "pip install 'numpy<2'"
    elif "libGL" in answer.text:
        mend = "pip uninstall opencv-python && pip install opencv-python-headless"
    else:
        mend = INSTALL_ON_JETSON if probe.is_jetson else f"{INSTALL_ELSEWHERE} --force-reinstall"
    return Finding("OpenCV", MISSING, f"cannot be loaded: {answer.text}", meaning, mend)


def _gstreamer(probe: MachineProbe, answer: Answer) -> Finding:
    name = "GStreamer in OpenCV"
    if not answer.worked:
        return Finding(name, NOT_HERE, "no OpenCV to ask")
    if answer.text.endswith("True"):
        return Finding(name, OK, "yes")
    if not probe.is_jetson:
        return Finding(name, NOT_HERE, "no", "only the CSI cameras of a Jetson need it")
    wheels = _wheels(probe)
    uninstall = f"pip uninstall {' '.join(wheels)} && " if wheels else ""
    meaning = "CSI cameras cannot be opened" + (f"; {wheels[0]} hides JetPack's OpenCV" if wheels else "")
    return Finding(name, ADVICE, "no", meaning, f"{uninstall}{INSTALL_ON_JETSON}")


def _cameras(probe: MachineProbe) -> Finding:
    devices = [path.name for path in probe.glob("dev/video*")]
    if probe.is_jetson and not probe.exists("tmp/argus_socket"):
        return Finding(
            "cameras",
            ADVICE,
            ", ".join(devices) or "none",
            "the camera service does not run, so CSI cameras do not answer; USB and RTSP cameras do",
            "sudo systemctl restart nvargus-daemon",
        )
    return Finding("cameras", OK if devices else NOT_HERE, ", ".join(devices) or "no /dev/video*")
