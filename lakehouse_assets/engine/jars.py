"""Jars from Maven Central. They are resolved once into a folder and then passed as files: resolving at each start would cost 2 s.

The package pyspark contains Spark's own jars, among them Ivy, which resolves the others. So no other tool is needed, and mirrors
configured for Ivy are honoured.
"""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from lakehouse_assets.engine.java import Java
from lakehouse_assets.errors import EngineError
from lakehouse_assets.files import whole_folder
from lakehouse_assets.retry import retried

_RESOLVE_SECONDS = 600


@dataclass(frozen=True)
class JarSet:
    """Modules to resolve together, as (organisation, name, version), and dependencies to exclude, as (organisation, name)."""

    name: str
    modules: Sequence[tuple[str, str, str]]
    without: Sequence[tuple[str, str]] = ()
    alone: bool = False
    """Resolve only the modules themselves, without their dependencies."""


# delta-spark 4.4.1 is on PyPI, but its jars are not on Maven Central.
DELTA = JarSet(
    "delta-4.4.0",
    (("io.delta", "delta-spark_4.2_2.13", "4.4.0"), ("io.delta", "delta-storage", "4.4.0")),
    alone=True,  # Spark's own jars cover its dependencies
)

_AWS = "software.amazon.awssdk"
# 13 MB instead of hadoop-aws's 686 MB `bundle` of all of AWS. Excludes what Spark already has in newer versions.
S3A = JarSet(
    "s3a-3.5.0",
    (
        ("org.apache.hadoop", "hadoop-aws", "3.5.0"),
        (_AWS, "s3", "2.35.4"),
        (_AWS, "s3-transfer-manager", "2.35.4"),
        (_AWS, "sts", "2.35.4"),
        (_AWS, "apache-client", "2.35.4"),
    ),
    without=(
        (_AWS, "bundle"),
        ("io.netty", "*"),
        ("org.slf4j", "*"),
        ("org.apache.httpcomponents", "*"),
        ("commons-logging", "*"),
        ("commons-codec", "*"),
    ),
)


def spark_home() -> Path:
    """The folder of the installed pyspark, which contains Spark's jars."""
    import importlib.util

    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise EngineError("The package pyspark is not installed: install the project's environment with `make setup`.")
    return Path(spec.origin).parent


def engine_jars(java: Java, folder: Path, *, reads_s3: bool = False) -> list[Path]:
    """All jars of the engine, in the order of the class path.

    Raises:
        EngineError: a jar can't be fetched.
    """
    # S3's come last: the archive of loaded classes is valid for any class path that begins with the one it was made for.
    spark = sorted(Path(spark_home(), "jars").glob("*.jar"))
    return [*resolved(java, folder, DELTA), *spark, *(resolved(java, folder, S3A) if reads_s3 else [])]


def resolved(java: Java, folder: Path, wanted: JarSet) -> list[Path]:
    """The jars of a set, in a folder with its name below `folder`. Fetches them if that folder does not exist yet.

    Raises:
        EngineError: they can't be fetched.
    """
    target = folder / wanted.name
    if not target.exists():
        from filelock import FileLock

        folder.mkdir(parents=True, exist_ok=True)
        # Ivy's cache is not made for two at once: one may find half of what the other is fetching.
        with FileLock(folder / "fetch.lock"):
            if not target.exists():
                with whole_folder(target) as unfinished:
                    # Of some hundred files one may get lost on the way. Ivy keeps those that came.
                    retried(lambda: _fetch(java, folder, wanted, unfinished), attempts=3, first_pause=1, on_error=EngineError)
    return sorted(target.glob("*.jar"))


def _fetch(java: Java, folder: Path, wanted: JarSet, target: Path) -> None:
    """Fetch the jars of a set into the folder `target`. Ivy's cache and the set's final folder are below `folder`."""
    target.mkdir(exist_ok=True)
    ivy_file = target / "ivy.xml"
    ivy_file.write_text(_ivy_module(wanted))
    ivy = next(Path(spark_home(), "jars").glob("ivy-*.jar"))
    command = [str(java.executable), "-cp", str(ivy), "org.apache.ivy.Main", "-warn", "-cache", str(folder / "ivy")]
    command += ["-ivy", str(ivy_file), "-confs", "default", "-retrieve", str(target / "[artifact]-[revision].[ext]")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_RESOLVE_SECONDS, check=False)
    missing = [name for _, name, version in wanted.modules if not (target / f"{name}-{version}.jar").exists()]
    if done.returncode != 0 or missing:
        messages = [line.strip(" \t:.") for line in (done.stdout + done.stderr).splitlines() if re.search(r"[a-z]{3}", line)]
        modules = ", ".join(":".join(module) for module in wanted.modules)
        raise EngineError(
            f"These jars can't be fetched from Maven Central: {modules} ({messages[-1] if messages else 'no reason given'}). "
            f"Check the network, or put them and their dependencies into {folder / wanted.name} yourself."
        )
    ivy_file.unlink()


def _ivy_module(wanted: JarSet) -> str:
    """The XML of an Ivy module that depends on the jars of a set."""
    module = ElementTree.Element("ivy-module", version="2.0")
    ElementTree.SubElement(module, "info", organisation="lakehouse", module=wanted.name)
    ElementTree.SubElement(ElementTree.SubElement(module, "configurations"), "conf", name="default")
    dependencies = ElementTree.SubElement(module, "dependencies")
    for organisation, name, version in wanted.modules:
        attributes = {
            "org": organisation,
            "name": name,
            "rev": version,
            "conf": "default->master" if wanted.alone else "default->default",
        }
        ElementTree.SubElement(dependencies, "dependency", attributes)
    for organisation, name in wanted.without:
        ElementTree.SubElement(dependencies, "exclude", org=organisation, module=name)
    return ElementTree.tostring(module, encoding="unicode")
