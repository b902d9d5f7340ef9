"""What the doctor says of whole machines, and of each thing that is wrong with one."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest

from edge.doctor import examine
from edge.doctor.cli import describe, main
from edge.doctor.finding import ADVICE, MISSING, NOT_HERE, OK, DoctorReport
from edge.doctor.machine_probe import Answer, ask_child
from edge.records import record_from_json, record_to_json
from edge.runtime.cuda_driver import Gpu
from tests.edge.doctor.machines import GIB, JETSONS, answer_of, debian, install, orin, workstation, write, xavier

A_GPU = Gpu("NVIDIA RTX A4000", "8.6")


def finding_of(probe, name):
    return {finding.name: finding for finding in examine(probe).findings}[name]


@pytest.mark.parametrize("name", JETSONS)
def test_whole_jetson_can_run_engines_and_nothing_is_to_be_mended(name, tmp_path):
    report = examine(JETSONS[name](tmp_path))
    assert report.can_run_engines
    assert [finding for finding in report.findings if finding.status != OK or finding.mend] == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "xavier",
            {
                "machine": "Jetson-AGX",
                "Linux for Tegra": "35.4.1",
                "JetPack": "5.1.2",
                "Python": "3.8",
                "GPU": "Xavier, compute capability 7.2",
                "CUDA": "11.4.19",
                "TensorRT library": "8.5.2.2",
                "TensorRT for Python": "8.5.2.2",
            },
        ),
        (
            "orin",
            {
                "machine": "NVIDIA Jetson AGX Orin Developer Kit",
                "Linux for Tegra": "36.4.3",
                "JetPack": "6.2",
                "TensorRT library": "10.3.0.30",
                "power mode": "MAXN (0)",
            },
        ),
        ("thor", {"Linux for Tegra": "38.2.1", "JetPack": "7.0", "Python": "3.12", "CUDA": "13.0.48"}),
    ],
)
def test_versions_are_read_from_the_files_of_each_release(name, expected, tmp_path):
    found = {finding.name: finding.found for finding in examine(JETSONS[name](tmp_path)).findings}
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize("name", JETSONS)
def test_every_jetson_gets_the_same_questions(name, tmp_path):
    names = [finding.name for finding in examine(JETSONS[name](tmp_path)).findings]
    assert names == [
        "machine",
        "Linux for Tegra",
        "JetPack",
        "Python",
        "GPU",
        "CUDA",
        "kernel compiler",
        "TensorRT library",
        "TensorRT for Python",
        "pycuda",
        "ONNX Runtime",
        "OpenCV",
        "GStreamer in OpenCV",
        "cameras",
        "jtop client",
        "jtop service",
        "power mode",
        "clocks",
        "memory",
        "swap",
        "disk",
    ]


def test_workstation_without_gpu_runs_by_onnxruntime_and_the_rest_does_not_apply(tmp_path):
    report = examine(workstation(tmp_path, packages=(("onnxruntime", "1.20.0"),)))
    assert report.can_run_engines
    status = {finding.name: finding.status for finding in report.findings}
    for name in ("JetPack", "GPU", "CUDA", "TensorRT library", "TensorRT for Python", "pycuda", "jtop service"):
        assert status[name] == NOT_HERE
    assert status["ONNX Runtime"] == OK


def test_workstation_without_gpu_and_onnxruntime_cannot_run_engines(tmp_path):
    report = examine(workstation(tmp_path))
    assert not report.can_run_engines
    assert finding_of(workstation(tmp_path), "ONNX Runtime").mend == "pip install onnxruntime"


def test_card_whose_driver_does_not_answer_is_told_and_other_cards_are_not(tmp_path):
    probe = workstation(tmp_path, packages=(("onnxruntime", "1.20.0"),))
    card = "sys/bus/pci/devices/0000:01:00.0"
    for vendor, kind in (("0x8086", "0x030000"), ("0x10de", "0x040300")):  # another maker's card, a sound device
        write(tmp_path, f"{card}/vendor", f"{vendor}\n")
        write(tmp_path, f"{card}/class", f"{kind}\n")
        assert finding_of(probe, "GPU").status == NOT_HERE
    write(tmp_path, f"{card}/class", "0x030000\n")
    assert finding_of(probe, "GPU").status == ADVICE
    assert examine(probe).can_run_engines


def test_workstation_with_gpu_may_do_without_tensorrt_if_onnxruntime_is_there(tmp_path):
    probe = workstation(tmp_path, A_GPU, (("onnxruntime", "1.20.0"),))
    assert examine(probe).can_run_engines
    assert finding_of(probe, "TensorRT for Python").status == ADVICE
    assert finding_of(probe, "TensorRT for Python").mend == "pip install tensorrt"


def test_workstation_with_gpu_needs_one_of_the_two(tmp_path):
    probe = workstation(tmp_path, A_GPU)
    assert not examine(probe).can_run_engines
    assert finding_of(probe, "pycuda").status == MISSING


def test_workstation_with_gpu_and_tensorrt_may_do_without_onnxruntime(tmp_path):
    packages = (("tensorrt", "10.3.0"), ("tensorrt-cu12-libs", "10.3.0"), ("pycuda", "2024.1"))
    probe = workstation(tmp_path, A_GPU, packages)
    assert examine(probe).can_run_engines
    assert finding_of(probe, "ONNX Runtime").status == ADVICE


def test_fresh_board_without_jetpack_is_told_to_install_it(tmp_path):
    probe = xavier(tmp_path)
    shutil.rmtree(tmp_path / "usr/local/cuda")
    shutil.rmtree(tmp_path / "usr/lib/python3.8/dist-packages/tensorrt")
    shutil.rmtree(tmp_path / "usr/lib/python3.8/dist-packages/tensorrt-8.5.2.2.dist-info")
    debian(tmp_path, nvidia_l4t_core="35.4.1-20230801124926")
    assert not examine(probe).can_run_engines
    jetpack = finding_of(probe, "JetPack")
    assert jetpack.status == ADVICE
    assert "5.1.2" in jetpack.found
    assert jetpack.mend == "sudo apt update && sudo apt install nvidia-jetpack"
    assert finding_of(probe, "TensorRT library").status == MISSING
    assert finding_of(probe, "TensorRT for Python").mend.endswith("apt install python3-libnvinfer")
    assert finding_of(probe, "CUDA").status == ADVICE


def test_release_is_read_from_the_package_where_the_file_is_not(tmp_path):
    probe = xavier(tmp_path)
    (tmp_path / "etc/nv_tegra_release").unlink()
    debian(tmp_path, nvidia_l4t_core="35.4.1-20230801124926")
    assert finding_of(probe, "Linux for Tegra").found == "35.4.1"


def test_release_before_jetpack_5_is_refused(tmp_path):
    probe = xavier(tmp_path)
    write(tmp_path, "etc/nv_tegra_release", "# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t186ref\n")
    assert finding_of(probe, "Linux for Tegra").status == MISSING


def test_environment_that_hides_the_systems_packages_is_told_how_it_is_made_right(tmp_path):
    probe = dataclasses.replace(xavier(tmp_path), package_folders=(tmp_path / "venv",), ask_python=no_opencv)
    for name in ("TensorRT for Python", "OpenCV"):
        finding = finding_of(probe, name)
        assert finding.status == MISSING
        assert "hidden from this environment" in finding.found
        assert "--system-site-packages" in finding.mend


def no_opencv(code: str) -> Answer:
    return Answer("cv2" not in code, "ModuleNotFoundError: No module named 'cv2'")


def test_another_python_than_jetpacks_is_told(tmp_path):
    finding = finding_of(dataclasses.replace(xavier(tmp_path), python="3.11"), "Python")
    assert finding.status == ADVICE
    assert "3.8" in finding.mend


def test_gpu_that_the_driver_does_not_show_is_missing_on_a_jetson(tmp_path):
    probe = dataclasses.replace(orin(tmp_path), gpu=None)
    assert finding_of(probe, "GPU").status == MISSING
    assert "usermod -aG video,render" in finding_of(probe, "GPU").mend
    write(tmp_path, ".dockerenv", "")
    assert "--runtime nvidia" in finding_of(probe, "GPU").mend


@pytest.mark.parametrize("module", ["tensorrt", "pycuda.driver"])
def test_package_that_cannot_be_loaded_is_missing_with_the_reason(module, tmp_path):
    reason = "ImportError: libcudnn.so.8: cannot open shared object file"
    probe = dataclasses.replace(xavier(tmp_path), ask_python=answer_of(failing={module: reason}))
    name = "pycuda" if module == "pycuda.driver" else "TensorRT for Python"
    finding = finding_of(probe, name)
    assert finding.status == MISSING
    assert reason in finding.found
    assert finding.mend


@pytest.mark.parametrize(
    "path",
    [
        "usr/local/cuda/targets/aarch64-linux/lib/libnvrtc.so.11.2",
        "usr/lib/aarch64-linux-gnu/libnvrtc.so.12",
        "opt/nvrtc/libnvrtc.so.13",
        "usr/local/lib/python3.10/dist-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12",
    ],
)
def test_kernels_are_compiled_by_nvcc_or_nvrtc_and_without_both_that_is_told(path, tmp_path):
    probe = orin(tmp_path)
    assert finding_of(probe, "kernel compiler").found == "nvcc"
    (tmp_path / "usr/local/cuda/bin/nvcc").unlink()
    finding = finding_of(probe, "kernel compiler")
    assert (finding.status, finding.found) == (ADVICE, "neither nvcc nor NVRTC")
    assert finding.mend == "sudo apt update && sudo apt install nvidia-jetpack"
    assert examine(probe).can_run_engines
    write(tmp_path, path, "")
    assert (finding_of(probe, "kernel compiler").status, finding_of(probe, "kernel compiler").found) == (
        OK,
        "NVRTC",
    )


def test_tensorrt_older_than_the_floor_is_missing(tmp_path):
    probe = xavier(tmp_path)
    debian(tmp_path, libnvinfer8="8.4.1-1+cuda11.4")
    assert finding_of(probe, "TensorRT library").status == MISSING


def test_binding_of_another_version_than_the_library_is_told(tmp_path):
    probe = orin(tmp_path)
    install(tmp_path / "usr/local/lib/python3.10/dist-packages", "tensorrt", "10.7.0")
    finding = finding_of(probe, "TensorRT for Python")
    assert finding.status == ADVICE
    assert finding.found == "10.7.0, the library is 10.3.0.30"


def test_no_question_makes_an_object_of_tensorrt(tmp_path):
    asked = []

    def ask(code: str) -> Answer:
        asked.append(code)
        return Answer(True, "4.5.4 True")

    examine(dataclasses.replace(xavier(tmp_path), ask_python=ask))
    assert "import tensorrt" in asked
    for word in ("Runtime(", "Builder(", "Logger(", "trt."):
        assert not any(word in code for code in asked)


def test_wheel_of_opencv_that_hides_jetpacks_is_told_by_name(tmp_path):
    probe = dataclasses.replace(orin(tmp_path), ask_python=answer_of("4.10.0 False"))
    install(tmp_path / "usr/local/lib/python3.10/dist-packages", "opencv-python", "4.10.0", "cv2")
    finding = finding_of(probe, "GStreamer in OpenCV")
    assert finding.status == ADVICE
    assert finding.mend.startswith("pip uninstall opencv-python && ")


@pytest.mark.parametrize(
    ("reason", "mend"),
    [
        ("ImportError: numpy.core.multiarray failed to import", "pip install 'numpy<2'"),
        ("ImportError: libGL.so.1: cannot open shared object file", "opencv-python-headless"),
    ],
)
def test_opencv_that_cannot_be_loaded_is_missing_with_its_own_cure(reason, mend, tmp_path):
    probe = dataclasses.replace(orin(tmp_path), ask_python=answer_of(failing={"cv2": reason}))
    finding = finding_of(probe, "OpenCV")
    assert finding.status == MISSING
    assert reason in finding.found
    assert mend in finding.mend
    assert finding_of(probe, "GStreamer in OpenCV").status == NOT_HERE


def test_jtop_client_and_service_of_other_versions_are_told(tmp_path):
    probe = orin(tmp_path)
    folder = tmp_path / "home/venv/lib"
    install(folder, "jetson-stats", "7.2.2", "jtop")
    finding = finding_of(dataclasses.replace(probe, package_folders=(folder, *probe.package_folders)), "jtop service")
    assert finding.status == ADVICE
    assert finding.found == "4.3.2, the client is 7.2.2"
    assert finding.mend == "pip install 'jetson-stats==4.3.2'"


def test_service_in_an_environment_of_its_own_is_found_by_its_script(tmp_path):
    probe = orin(tmp_path)
    write(tmp_path, "etc/systemd/system/jtop.service", "[Service]\nExecStart=/opt/jtop/bin/jtop --force\n")
    write(tmp_path, "opt/jtop/bin/jtop", "#!/opt/jtop/bin/python3\n")
    install(tmp_path / "opt/jtop/lib/python3.10/site-packages", "jetson-stats", "7.2.2", "jtop")
    assert finding_of(probe, "jtop service").found == "7.2.2, the client is 4.3.2"


def test_service_that_does_not_run_and_user_outside_its_group_are_told(tmp_path):
    probe = orin(tmp_path)
    outside = dataclasses.replace(probe, group_ids=frozenset({1000}))
    assert "usermod -aG jtop" in finding_of(outside, "jtop service").mend
    assert finding_of(dataclasses.replace(outside, is_root=True), "jtop service").status == OK
    (tmp_path / "run/jtop.sock").unlink()
    assert finding_of(probe, "jtop service").mend == "sudo systemctl restart jtop"
    (tmp_path / "etc/systemd/system/jtop.service").unlink()
    assert "pip3 install -U jetson-stats" in finding_of(probe, "jtop service").mend


def test_limited_power_mode_is_told_with_the_number_of_the_fastest(tmp_path):
    probe = xavier(tmp_path)
    write(tmp_path, "var/lib/nvpmodel/status", "pmode:0002")
    finding = finding_of(probe, "power mode")
    assert (finding.status, finding.found) == (ADVICE, "MODE_15W (2)")
    assert finding.mend == "sudo nvpmodel -m 0"
    (tmp_path / "var/lib/nvpmodel/status").unlink()  # before the first change the default of the file holds
    assert finding_of(probe, "power mode").found == "MODE_15W (2)"


@pytest.mark.parametrize(
    "path", ["sys/devices/system/cpu/cpu1/cpufreq/scaling_min_freq", "sys/class/devfreq/17000000.gv11b/min_freq"]
)
def test_clock_that_may_fall_is_told(path, tmp_path):
    probe = xavier(tmp_path)
    assert finding_of(probe, "clocks").found == "pinned"
    write(tmp_path, path, "115200\n")
    finding = finding_of(probe, "clocks")
    assert (finding.status, finding.found, finding.mend) == (ADVICE, "1 of 3 float", "sudo jetson_clocks")


def test_swap_in_memory_makes_no_room_for_a_build(tmp_path):
    probe = xavier(tmp_path)
    write(tmp_path, "proc/meminfo", "MemTotal:        6000000 kB\nSwapTotal:       8000000 kB\n")
    assert finding_of(probe, "swap").status == ADVICE
    write(tmp_path, "proc/swaps", "Filename Type Size Used Priority\n/swapfile file 8000000 0 -2\n")
    assert finding_of(probe, "swap").status == OK


def test_little_room_on_the_disk_is_told(tmp_path):
    assert finding_of(dataclasses.replace(xavier(tmp_path), free_bytes=GIB), "disk").status == ADVICE
    assert finding_of(dataclasses.replace(xavier(tmp_path), free_bytes=None), "disk").status == NOT_HERE


def test_empty_tree_is_a_workstation_that_lacks_something(tmp_path):
    report = examine(dataclasses.replace(workstation(tmp_path / "one"), root=tmp_path / "empty", package_folders=()))
    assert not report.can_run_engines


def test_report_round_trips_through_json(tmp_path):
    report = examine(workstation(tmp_path, A_GPU))
    assert record_from_json(DoctorReport, json.loads(json.dumps(record_to_json(report))), "report") == report


def test_text_has_each_finding_with_its_command_on_a_line_of_its_own(tmp_path):
    probe = xavier(tmp_path)
    write(tmp_path, "var/lib/nvpmodel/status", "pmode:0002")
    text = describe(examine(probe))
    for finding in examine(probe).findings:
        assert f"{finding.name} " in text
    assert "mend: sudo nvpmodel -m 0" in [line.strip() for line in text.splitlines()]
    assert text.endswith("Engines can run here. 1 finding with advice.")


@pytest.mark.parametrize(("packages", "code"), [((("onnxruntime", "1.20.0"),), 0), ((), 1)])
def test_exit_code_says_whether_engines_can_run(packages, code, tmp_path, monkeypatch, capsys):
    probe = workstation(tmp_path, packages=packages)
    monkeypatch.setattr("edge.doctor.cli.probe_this_machine", lambda folder: probe)
    assert main(["--json"]) == code
    printed = json.loads(capsys.readouterr().out)
    assert printed["can_run_engines"] is (code == 0)
    assert main([]) == code
    assert ("cannot run here: ONNX Runtime missing" in capsys.readouterr().out) is (code == 1)


def test_python_that_crashes_ends_only_itself():
    assert ask_child("import os; os.kill(os.getpid(), 11)") == Answer(False, "Python was ended by signal 11")
    assert ask_child("import no_such_package").text == "ModuleNotFoundError: No module named 'no_such_package'"
    assert ask_child("print(6 * 7)") == Answer(True, "42")


@pytest.mark.parametrize("command", [("edge.bench", "doctor"), ("edge.doctor",)])
def test_doctor_starts_where_opencv_is_broken(command, run_python, tmp_path):
    script = """
import runpy, sys
sys.modules["cv2"] = None
sys.argv = ["command", *sys.argv[2:]]
runpy.run_module(MODULE, run_name="__main__")
""".replace("MODULE", repr(command[0]))
    result = run_python("-c", script, *command, "--json", cwd=str(tmp_path))
    assert result.stderr == ""
    assert result.returncode in (0, 1)
    report = json.loads(result.stdout)
    assert report["can_run_engines"] is (result.returncode == 0)


@pytest.mark.any_python
def test_doctor_is_a_subcommand_that_edge_bench_lists(run_python, tmp_path):
    result = run_python("-m", "edge.bench.cli", "--help", cwd=str(tmp_path))
    assert "doctor" in result.stdout
    assert run_python("-m", "edge.bench", "--help", cwd=str(tmp_path)).stdout == result.stdout
