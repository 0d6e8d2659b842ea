"""A Spark Connect server in the foreground, without its supervisor, for others than this machine: same jars, same settings.

There is no token: PySpark sends one only to `localhost` or over TLS. So it belongs on a network that nobody else is on.
"""

import argparse
import os

from lakehouse_assets.engine.server import command_for, server_environment
from lakehouse_assets.settings import load_settings

_LISTENS_AT = "-Dspark.connect.grpc.binding.address="


def main() -> None:
    """Become the server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", required=True, help="the address at which it listens")
    parser.add_argument("--port", required=True, type=int)
    wanted = parser.parse_args()
    config = load_settings().local_spark
    command = command_for(config, wanted.port)
    command[command.index(f"{_LISTENS_AT}127.0.0.1")] = f"{_LISTENS_AT}{wanted.host}"
    environment = server_environment(token="")
    del environment["SPARK_CONNECT_AUTHENTICATE_TOKEN"]
    config.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(config.folder)  # some of Spark's parts write where they stand
    os.execve(command[0], command, environment)  # noqa: S606 - a program of our own choice, no shell's text


if __name__ == "__main__":
    main()
