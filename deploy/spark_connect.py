"""Runs a Spark Connect server in the foreground for other machines, without a supervisor, with the same jars and settings.

It requires no token, because PySpark sends one only to `localhost` or over TLS. So run it only on a private network.
"""

import argparse
import os

from lakehouse_assets.engine.server import command_for, server_environment
from lakehouse_assets.settings import load_settings

_LISTENS_AT = "-Dspark.connect.grpc.binding.address="


def main() -> None:
    """Replace this process by the server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", required=True, help="the address to listen on")
    parser.add_argument("--port", required=True, type=int)
    arguments = parser.parse_args()
    config = load_settings().local_spark
    command = command_for(config, arguments.port)
    command[command.index(f"{_LISTENS_AT}127.0.0.1")] = f"{_LISTENS_AT}{arguments.host}"
    environment = server_environment(token="")
    del environment["SPARK_CONNECT_AUTHENTICATE_TOKEN"]
    config.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(config.folder)  # some parts of Spark write to the working directory
    os.execve(command[0], command, environment)  # noqa: S606 - a fixed program, not shell input


if __name__ == "__main__":
    main()
