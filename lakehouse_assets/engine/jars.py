"""The jars of the engine: Spark's own from the package pyspark, Delta's fetched once from Maven Central."""

import re
import subprocess
from pathlib import Path

from lakehouse_assets.engine.java import Java
from lakehouse_assets.errors import EngineError

# delta-spark 4.4.1 is on PyPI, but its jars are not on Maven Central.
DELTA_VERSION = "4.4.0"
DELTA_MODULES = (("io.delta", "delta-spark_4.2_2.13", DELTA_VERSION), ("io.delta", "delta-storage", DELTA_VERSION))


def spark_home() -> Path:
    """The folder of the installed pyspark, which brings Spark's jars."""
    import importlib.util

    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise EngineError("The package pyspark is not installed: install the project's environment with `make setup`.")
    return Path(spec.origin).parent


def engine_jars(java: Java, folder: Path) -> list[Path]:
    """All jars of the engine, Delta's fetched into `folder` where they are not there yet.

    Raises:
        EngineError: a jar can't be fetched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    delta = [_fetched(java, module, folder) for module in DELTA_MODULES]
    return [*delta, *sorted(Path(spark_home(), "jars").glob("*.jar"))]


def _fetched(java: Java, module: tuple[str, str, str], folder: Path) -> Path:
    """One jar, by the Ivy that pyspark brings: no other tool is needed, and mirrors set for Ivy are honoured."""
    organisation, name, version = module
    jar = folder / f"{name}-{version}.jar"
    if jar.exists():
        return jar
    ivy = next(Path(spark_home(), "jars").glob("ivy-*.jar"))
    command = [str(java.executable), "-cp", str(ivy), "org.apache.ivy.Main", "-warn", "-cache", str(folder / "ivy")]
    command += ["-notransitive", "-dependency", organisation, name, version, "-confs", "master"]
    command += ["-retrieve", str(folder / "[artifact]-[revision].[ext]")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0 or not jar.exists():
        told = [line.strip(" \t:.") for line in (done.stdout + done.stderr).splitlines() if re.search(r"[a-z]{3}", line)]
        last = told[-1] if told else "no reason given"
        raise EngineError(
            f"The jar {organisation}:{name}:{version} can't be fetched from Maven Central ({last}). "
            f"Check the network, or put the file {jar.name} into {folder} yourself."
        )
    return jar
