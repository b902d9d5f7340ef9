"""Set-up without what it needs: one line that says what that is, instead of all that pip prints."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

PYTHON = f"""#!/bin/bash
# A Python whose environments have the pip of these tests: making a real one takes seconds. Nothing is installed by it.
case "$*" in
    "-m venv --clear "*)
        mkdir -p "$4/bin"
        cat >"$4/bin/python" <<'END'
#!/bin/bash
if [ "$3" = install ]; then exec {sys.executable} -m pip install --dry-run "${{@:4}}"; fi
exec {sys.executable} "$@"
END
        chmod +x "$4/bin/python" ;;
    *) exec {sys.executable} "$@" ;;
esac
"""


@pytest.fixture
def closed_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        yield server.getsockname()[1]  # bound and not listening: connections are refused


@pytest.fixture
def make(tmp_path):
    """Return a function that makes an environment, and gives (exit code, lines on stderr)."""
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)

    def run(python=None, **variables):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        done = subprocess.run(
            [
                REPOSITORY / ".ci" / "make-environment",
                tmp_path / "env",
                python or tmp_path / "python",
                "no-such-package",
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**kept, "PIP_RETRIES": "0", "PIP_TIMEOUT": "5", "PIP_CONFIG_FILE": os.devnull, **variables},
        )
        assert done.stdout == ""
        return done.returncode, done.stderr.splitlines()

    return run


@pytest.mark.long
def test_index_that_cannot_be_reached_is_one_line(make, closed_port, tmp_path):
    code, lines = make(PIP_INDEX_URL=f"http://user:secret@127.0.0.1:{closed_port}/simple")
    (line,) = lines
    assert code == 2
    assert line.startswith(f"error: http://...@127.0.0.1:{closed_port}/simple cannot be reached")
    assert "(Connection refused). Next: make demo with a network, or with a folder of wheels" in line
    assert "PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER make demo" in line and "secret" not in line
    assert "refused" in (tmp_path / "env" / "pip.log").read_text()


@pytest.mark.long
def test_missing_wheel_is_named(make, tmp_path):
    (tmp_path / "wheels").mkdir()
    code, (line,) = make(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path / "wheels"))
    assert code == 2
    assert "a wheel is missing: No matching distribution found for no-such-package. Next: copy it into" in line


def test_python_without_venv_names_the_package(make, tmp_path):
    python = tmp_path / "python3.11"
    python.write_text('#!/bin/sh\ncase "$2" in *version_info*) echo 3.11;; *) exit 1;; esac\n')
    python.chmod(0o755)
    code, (line,) = make(python)
    assert code == 2
    assert line == (
        f"error: {python} has no module venv or ensurepip, which makes environments. "
        "Next: sudo apt install python3.11-venv"
    )


def test_python_that_is_too_old_or_new_is_named(tmp_path):
    python = tmp_path / "python3"
    python.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.8.1 && exit 0\nexit 1\n')
    python.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/bin"} if not Path("/bin/python3").exists() else {"PATH": str(tmp_path)}
    done = subprocess.run(
        ["/bin/bash", REPOSITORY / ".ci" / "find-python"], capture_output=True, text=True, check=False, env=environment
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: no Python 3.10 to 3.13 found (python3 is Python 3.8.1). Next: install one, or set SEGEDGE_PYTHON\n"
    )
