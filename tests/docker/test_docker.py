"""What can be said of the images without building them: docker/check.sh builds them on a stand-in base."""

from __future__ import annotations

import configparser
import fnmatch
import json
import re
from pathlib import Path

import pytest

from edge.doctor.releases import SUPPORTED_L4T

REPOSITORY = Path(__file__).resolve().parents[2]
DOCKER = REPOSITORY / "docker"
KINDS = ("train", "export", "jetson")
CODE = "/opt/segedge"
ROOM = "/segedge"


def instructions(kind: str) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile: name and argument, continued lines joined."""
    text = "\n".join(
        line for line in (DOCKER / f"Dockerfile.{kind}").read_text().splitlines() if not line.startswith("#")
    )
    lines = [line.strip() for line in re.sub(r"\\\n\s*", "", text).splitlines()]
    return [tuple(line.split(None, 1)) for line in lines if line]


def values(kind: str, name: str) -> list[str]:
    return [value for instruction, value in instructions(kind) if instruction == name]


def last_stage(kind: str) -> list[tuple[str, str]]:
    all_of_them = instructions(kind)
    start = max(index for index, (name, _) in enumerate(all_of_them) if name == "FROM")
    return all_of_them[start:]


def bases(kind: str) -> list[str]:
    """Return the images that a Dockerfile begins with, arguments filled in by their defaults."""
    defaults = dict(value.split("=", 1) for value in values(kind, "ARG") if "=" in value)
    named = {match[1] for match in (re.search(r" AS (\S+)$", value) for value in values(kind, "FROM")) if match}
    filled = [
        re.sub(r"\$\{(\w+)\}", lambda match: defaults[match[1]], value.split()[0]) for value in values(kind, "FROM")
    ]
    return [base for base in filled if base not in named]


@pytest.mark.parametrize("kind", KINDS)
def test_every_base_has_a_version(kind):
    found = bases(kind)
    assert found
    for base in found:
        assert re.fullmatch(r"[\w./-]+:[\w.-]*\d[\w.-]*(@sha256:[0-9a-f]{64})?", base), base


@pytest.mark.parametrize("kind", KINDS)
def test_container_does_not_run_as_root(kind):
    users = [value for name, value in last_stage(kind) if name == "USER"]
    assert len(users) == 1
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[0])
    names = [name for name, _ in last_stage(kind)]
    assert names.index("USER") > max(index for index, name in enumerate(names) if name in {"RUN", "COPY"})


@pytest.mark.parametrize("kind", KINDS)
def test_entry_is_a_command_of_the_package_or_a_script_that_exists(kind):
    (entry,) = [json.loads(value) for name, value in last_stage(kind) if name == "ENTRYPOINT"]
    check_entry(entry)


def check_entry(entry: list[str]) -> None:
    settings = configparser.ConfigParser()
    settings.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    commands = re.findall(r"^(\S+) =", settings["options.entry_points"]["console_scripts"], re.MULTILINE)
    if entry[0] in commands:
        return
    assert entry[0] == "python3"
    assert entry[1].startswith(f"{CODE}/")
    assert (REPOSITORY / entry[1][len(CODE) + 1 :]).is_file(), entry


@pytest.mark.parametrize("kind", KINDS)
def test_packages_are_pinned(kind):
    lines = (DOCKER / f"requirements-{kind}.txt").read_text().splitlines()
    for line in lines:
        assert not line or line.startswith("#") or re.match(r"[\w-]+==[\d.]+(; |$)", line), line
    for run in values(kind, "RUN"):
        for command in re.findall(r"pip install ([^&]*)", run):
            for word in command.replace('"', "").split():
                assert word in {"--no-cache-dir", "--no-deps", "-r", ".", "/opt/requirements.txt"} or "==" in word, word


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_copied_exists_and_is_sent_to_the_builder(kind):
    sent = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert "*" in sent
    allowed = [line[1:] for line in sent if line.startswith("!")]
    for value in values(kind, "COPY"):
        source, _ = value.replace("--from=build ", "").rsplit(None, 1)
        if not source.startswith(("/", ".")):
            assert (REPOSITORY / source).is_file(), source
            assert any(fnmatch.fnmatch(source, pattern) for pattern in allowed), source


def test_no_data_reaches_the_builder_and_all_code_does():
    allowed = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {"edge", "calibration", "export", "train", "setup.cfg", "setup.py", "README.md", "LICENSE"} < allowed
    assert not {
        name for name in allowed if name.split("/")[0] in {"data", "artifacts", "runs", "weights", ".git", ".venv"}
    }


def test_jetson_image_has_stages_for_every_release_and_asks_which():
    arguments = values("jetson", "ARG")
    assert "L4T=r36" in arguments
    stages = {match[1] for match in (re.search(r" AS (\S+)$", value) for value in values("jetson", "FROM")) if match}
    for release in ("r35", "r36", "r38"):
        assert int(release[1:]) in SUPPORTED_L4T
        assert {f"{release}-build", f"{release}-run"} <= stages
    assert any(value.startswith("JETSON_STATS=") for value in arguments)


def test_what_compiles_the_kernels_is_in_the_jetson_image():
    # The small bases need not have it, and kernels are compiled where they run.
    assert any("libnvrtc" in value and value.endswith("/opt/nvrtc/") for value in values("jetson", "RUN"))
    assert ("COPY", "--from=build /opt/nvrtc /opt/nvrtc") in last_stage("jetson")
    assert any("/opt/nvrtc" in value and "ldconfig" in value for name, value in last_stage("jetson") if name == "RUN")


def test_opencv_on_a_jetson_is_ubuntus_with_gstreamer():
    assert any("python3-opencv" in value for name, value in last_stage("jetson") if name == "RUN")
    assert "opencv" not in (DOCKER / "requirements-jetson.txt").read_text()


@pytest.fixture
def compose():
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())


def test_services_are_built_from_files_that_exist(compose):
    for service in compose["services"].values():
        context = (DOCKER / service["build"]["context"]).resolve()
        assert context == REPOSITORY
        assert (context / service["build"]["dockerfile"]).is_file()
        if "entrypoint" in service:
            check_entry(service["entrypoint"])


def test_services_take_arguments_that_their_dockerfile_has(compose):
    for service in compose["services"].values():
        kind = service["build"]["dockerfile"].rsplit(".", 1)[1]
        declared = {value.split("=")[0] for value in values(kind, "ARG")}
        assert set(service["build"].get("args", {})) <= declared


def volumes_of(service: dict) -> dict[str, str]:
    pairs = [
        (volume["source"], volume["target"]) if isinstance(volume, dict) else tuple(volume.split(":")[:2])
        for volume in service["volumes"]
    ]
    return dict(pairs)


def test_every_service_has_the_artefacts_where_its_commands_look(compose):
    for service in compose["services"].values():
        assert volumes_of(service)["../artifacts"] == f"{ROOM}/artifacts"
        assert volumes_of(service)["../data"] == f"{ROOM}/data"
    for kind in KINDS:
        assert [value for name, value in last_stage(kind) if name == "WORKDIR"] == [ROOM]


def test_jetson_services_reach_jtop_and_the_cameras(compose):
    services = compose["services"]
    assert volumes_of(services["bench"])["/run/jtop.sock"] == "/run/jtop.sock"
    socket = "${ARGUS_SOCKET:-/tmp/argus_socket}"
    assert volumes_of(services["demo"])[socket] == socket
    assert services["demo"]["devices"]
    for name in ("jetson-build", "bench", "demo"):
        assert services[name]["runtime"] == "nvidia"
        assert services[name]["profiles"] == ["jetson"]


def test_no_service_runs_as_root_or_may_do_everything(compose):
    for service in compose["services"].values():
        assert re.fullmatch(r"\$\{SEGEDGE_UID:-[1-9]\d*\}:\$\{SEGEDGE_GID:-[1-9]\d*\}", service["user"])
        assert not service.get("privileged", False)
        assert "0" not in service.get("group_add", [])


def test_mounted_sockets_are_never_made_as_folders(compose):
    for service in compose["services"].values():
        for volume in service["volumes"]:
            if isinstance(volume, dict):
                assert volume["bind"]["create_host_path"] is False
            else:
                assert not volume.split(":")[0].endswith(("sock", "socket"))


def test_page_names_every_base_and_no_other():
    page = (REPOSITORY / "docs" / "jetson.md").read_text()
    run_stages = [value.split()[0] for value in values("jetson", "FROM") if value.endswith("-run")]
    for base in {*run_stages, *bases("train"), *bases("export")} - {"${L4T}-run"}:
        assert f"`{base.split('@')[0]}`" in page, base
    named = set(re.findall(r"`(nvcr\.io/[^`]+)`", page))
    assert named <= {*bases("jetson"), *bases("export")}


def test_hadolint_ignores_only_what_is_explained():
    yaml = pytest.importorskip("yaml")
    settings = yaml.safe_load((DOCKER / "hadolint.yaml").read_text())
    assert settings["ignored"] == ["DL3008"]
    assert settings["failure-threshold"] == "style"
