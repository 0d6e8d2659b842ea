"""The command line in a process of its own, as a user runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import obstore

from lakehouse_assets.delta.tables import open_table
from lakehouse_assets.serving.query import as_json, query
from lakehouse_assets.store.root import Root
from tests.support.lakehouse import World


class Command:
    """The command line over a root."""

    def __init__(self, world: World, folder: Path) -> None:
        self.root = Root.parse(world.root())
        self.folder = folder
        self.environment = {
            "LAKEHOUSE_ROOT": self.root.uri,
            "LAKEHOUSE_ENGINE": "sail" if world.name.startswith("sail") else world.engine,
        }

    def run(self, *arguments: str, succeeds: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(Path(sys.executable).with_name("lakehouse")), *arguments],
            env={**os.environ, **self.environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode == 0) is succeeds, done.stdout + done.stderr
        return done

    def query(self, sql: str) -> list[dict[str, object]]:
        """What `lakehouse query --format json` prints, but asked within this process."""
        return json.loads(json.dumps(as_json(query(self.root, sql))))

    def versions(self) -> dict[str, int]:
        layers = ("raw", "silver", "gold", "quarantine", "ops")
        tables = [(layer, name) for layer in layers for name in self.root.table_names(layer)]
        opened = {f"{layer}/{name}": open_table(self.root.table(layer, name)) for layer, name in tables}
        return {name: table.version() for name, table in opened.items() if table is not None}

    def read(self, path: str) -> str:
        """The text of a landing file."""
        return bytes(obstore.get(self.root.store, f"landing/{path}").bytes()).decode()

    def write(self, path: str, text: str | bytes) -> None:
        obstore.put(self.root.store, f"landing/{path}", text.encode() if isinstance(text, str) else text)

    def remove(self, path: str) -> None:
        obstore.delete(self.root.store, f"landing/{path}")

    def copy_landing(self, other: "Command") -> None:
        for path, _ in other.root.files("landing"):
            obstore.put(self.root.store, path, bytes(obstore.get(other.root.store, path).bytes()))
