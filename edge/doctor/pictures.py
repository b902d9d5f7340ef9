"""Pictures and cameras: NumPy, OpenCV with GStreamer or without, and the devices."""

from __future__ import annotations

from edge.doctor.finding import ADVICE, MISSING, NOT_HERE, OK, Finding
from edge.doctor.machine_probe import Answer, Surroundings

WHEELS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
ASK_OPENCV = "import cv2, re; print(cv2.__version__, bool(re.search(r'GStreamer:\\s+YES', cv2.getBuildInformation())))"
INSTALL_ON_JETSON = "sudo apt update && sudo apt install python3-opencv"
INSTALL_ELSEWHERE = "pip install opencv-python-headless"


def check_pictures(surroundings: Surroundings) -> list[Finding]:
    """Look for what reads pictures, videos and cameras."""
    answer = surroundings.ask_python(ASK_OPENCV)
    return [_opencv(surroundings, answer), _gstreamer(surroundings, answer), _cameras(surroundings)]


def _wheels(surroundings: Surroundings) -> list[str]:
    return [name for name in WHEELS if surroundings.package_version(name)]


def _opencv(surroundings: Surroundings, answer: Answer) -> Finding:
    if answer.worked:
        return Finding("OpenCV", OK, answer.text.split()[0])
    meaning = "pictures cannot be read or resized"
    if not surroundings.has_module("cv2"):
        if surroundings.system_has_module("cv2"):
            found, mend = "hidden from this environment", "python3 -m venv --system-site-packages --clear .venv"
        else:
            found, mend = "not installed", INSTALL_ON_JETSON if surroundings.is_jetson else INSTALL_ELSEWHERE
        return Finding("OpenCV", MISSING, found, meaning, mend)
    if "numpy" in answer.text.lower() or "_ARRAY_API" in answer.text:
        # An OpenCV that was compiled for NumPy 1, as JetPack's is, cannot load beside NumPy 2.
        mend = "pip install 'numpy<2'"
    elif "libGL" in answer.text:
        mend = "pip uninstall opencv-python && pip install opencv-python-headless"
    else:
        mend = INSTALL_ON_JETSON if surroundings.is_jetson else f"{INSTALL_ELSEWHERE} --force-reinstall"
    return Finding("OpenCV", MISSING, f"cannot be loaded: {answer.text}", meaning, mend)


def _gstreamer(surroundings: Surroundings, answer: Answer) -> Finding:
    name = "GStreamer in OpenCV"
    if not answer.worked:
        return Finding(name, NOT_HERE, "no OpenCV to ask")
    if answer.text.endswith("True"):
        return Finding(name, OK, "yes")
    if not surroundings.is_jetson:
        return Finding(name, NOT_HERE, "no", "only the CSI cameras of a Jetson need it")
    wheels = _wheels(surroundings)
    uninstall = f"pip uninstall {' '.join(wheels)} && " if wheels else ""
    meaning = "CSI cameras cannot be opened" + (f"; {wheels[0]} hides JetPack's OpenCV" if wheels else "")
    return Finding(name, ADVICE, "no", meaning, f"{uninstall}{INSTALL_ON_JETSON}")


def _cameras(surroundings: Surroundings) -> Finding:
    devices = [path.name for path in surroundings.glob("dev/video*")]
    if surroundings.is_jetson and not surroundings.exists("tmp/argus_socket"):
        return Finding(
            "cameras",
            ADVICE,
            ", ".join(devices) or "none",
            "the camera service does not run, so CSI cameras do not answer; USB and RTSP cameras do",
            "sudo systemctl restart nvargus-daemon",
        )
    return Finding("cameras", OK if devices else NOT_HERE, ", ".join(devices) or "no /dev/video*")
