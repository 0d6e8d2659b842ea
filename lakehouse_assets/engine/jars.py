"""Jars from Maven Central, resolved once into a folder and from then on passed as files: resolving at each start costs 2 s.

Spark's own come with the package pyspark, and with them Ivy, which does the resolving: no other tool is needed, and mirrors that are
set for Ivy are honoured.
"""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4
from xml.etree import ElementTree

from lakehouse_assets.engine.java import Java
from lakehouse_assets.errors import EngineError

_RESOLVE_SECONDS = 600


@dataclass(frozen=True)
class JarSet:
    """Modules that are wanted together, each as (organisation, name, version), and what they must not bring (organisation, name)."""

    name: str
    modules: Sequence[tuple[str, str, str]]
    without: Sequence[tuple[str, str]] = ()
    alone: bool = False
    """The modules themselves, and nothing that they depend on."""


# delta-spark 4.4.1 is on PyPI, but its jars are not on Maven Central.
DELTA = JarSet(
    "delta-4.4.0",
    (("io.delta", "delta-spark_4.2_2.13", "4.4.0"), ("io.delta", "delta-storage", "4.4.0")),
    alone=True,  # all else that it needs is Spark's
)

_AWS = "software.amazon.awssdk"
# 13 MB in place of hadoop-aws's own 686 MB `bundle` of all of AWS; and not once more what Spark brings in newer versions.
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
    """The folder of the installed pyspark, which brings Spark's jars."""
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
    # S3's come last: the archive of loaded classes holds for any class path that begins as the one it was made with.
    spark = sorted(Path(spark_home(), "jars").glob("*.jar"))
    return [*resolved(java, folder, DELTA), *spark, *(resolved(java, folder, S3A) if reads_s3 else [])]


def resolved(java: Java, folder: Path, wanted: JarSet) -> list[Path]:
    """The jars of a set, fetched into a folder of its name below `folder` where that is not there yet.

    Raises:
        EngineError: they can't be fetched.
    """
    place = folder / wanted.name
    if not place.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f".{wanted.name}-{uuid4().hex[:8]}"
        try:
            _fetch(java, folder, wanted, unfinished)
            if not place.exists():
                unfinished.rename(place)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return sorted(place.glob("*.jar"))


def _fetch(java: Java, folder: Path, wanted: JarSet, place: Path) -> None:
    place.mkdir()
    described = place / "ivy.xml"
    described.write_text(_ivy_module(wanted))
    ivy = next(Path(spark_home(), "jars").glob("ivy-*.jar"))
    command = [str(java.executable), "-cp", str(ivy), "org.apache.ivy.Main", "-warn", "-cache", str(folder / "ivy")]
    command += ["-ivy", str(described), "-confs", "default", "-retrieve", str(place / "[artifact]-[revision].[ext]")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_RESOLVE_SECONDS, check=False)
    missing = [name for _, name, version in wanted.modules if not (place / f"{name}-{version}.jar").exists()]
    if done.returncode != 0 or missing:
        told = [line.strip(" \t:.") for line in (done.stdout + done.stderr).splitlines() if re.search(r"[a-z]{3}", line)]
        modules = ", ".join(":".join(module) for module in wanted.modules)
        raise EngineError(
            f"These jars can't be fetched from Maven Central: {modules} ({told[-1] if told else 'no reason given'}). "
            f"Check the network, or put them and what they depend on into {folder / wanted.name} yourself."
        )
    described.unlink()


def _ivy_module(wanted: JarSet) -> str:
    module = ElementTree.Element("ivy-module", version="2.0")
    ElementTree.SubElement(module, "info", organisation="lakehouse", module=wanted.name)
    ElementTree.SubElement(ElementTree.SubElement(module, "configurations"), "conf", name="default")
    dependencies = ElementTree.SubElement(module, "dependencies")
    for organisation, name, version in wanted.modules:
        facts = {
            "org": organisation,
            "name": name,
            "rev": version,
            "conf": "default->master" if wanted.alone else "default->default",
        }
        ElementTree.SubElement(dependencies, "dependency", facts)
    for organisation, name in wanted.without:
        ElementTree.SubElement(dependencies, "exclude", org=organisation, module=name)
    return ElementTree.tostring(module, encoding="unicode")
