"""Writes the declaration of a system into the folder of one's own systems."""

import importlib
import keyword
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from lakehouse_assets.bundled import is_installed
from lakehouse_assets.contracts.contract import NAME
from lakehouse_assets.errors import ProjectError
from lakehouse_assets.new_source.declaration import QUESTION, declaration
from lakehouse_assets.new_source.draft import DraftFeed
from lakehouse_assets.new_source.entity import draft_feed
from lakehouse_assets.new_source.meaning import entity_of
from lakehouse_assets.new_source.names import free_name
from lakehouse_assets.new_source.sample import sampled
from lakehouse_assets.systems import BUILT_IN, is_private, load_systems

_EXISTS = "{} exists, and is not overwritten. Add to it by hand, or name another system."


@dataclass(frozen=True)
class NewSource:
    """A declaration that was written: its file, the drafts of its feeds, and the sample files of each feed by its landing folder.

    `questions` is the number of questions in it, `cut` are the files of which not all rows were looked at.
    """

    file: Path
    questions: int
    feeds: Sequence[DraftFeed]
    samples: dict[str, list[Path]]
    cut: Sequence[Path]


def new_source(system: str, files: Sequence[str], packages: Sequence[str]) -> NewSource:
    """Declare a system from sample files, in the folder of the user's systems. A file is a path, or `entity=path`.

    `packages` are the packages and folders that declare systems, as in the settings.

    Raises:
        ProjectError: the system can't have this name or has a declaration already, a file can't be a sample, or there is no folder.
    """
    if fault := _name_fault(system):
        raise ProjectError(f"{system!r} can't be the name of a system: {fault}.")
    folder = systems_folder(packages)
    target = folder / f"{system}.py"
    if target.exists():
        raise ProjectError(_EXISTS.format(target))
    systems, problems = load_systems(packages)
    if any(known.name == system for known in systems):
        raise ProjectError(f"There is a system {system!r} already, in another folder. Name another one.")
    samples = {entity: [sampled(file) for file in given] for entity, given in by_entity(files).items()}
    feeds = _distinct([draft_feed(system, entity, given) for entity, given in samples.items()])
    written = declaration(system, feeds)
    _write(target, written, packages, problems)
    return NewSource(
        target,
        written.count(QUESTION),
        feeds,
        {f"{system}/{entity}": [sample.file for sample in given] for entity, given in samples.items()},
        [sample.file for given in samples.values() for sample in given if sample.is_part],
    )


def _write(target: Path, code: str, packages: Sequence[str], problems: Sequence[str]) -> None:
    """Write a declaration to a new file, and load it with all systems; it is not left behind if that finds a problem.

    `problems` are those that the other systems had before.

    Raises:
        ProjectError: the file is there already, can't be written, or can't be loaded.
    """
    try:
        file = target.open("x", encoding="utf-8")
    except FileExistsError:
        raise ProjectError(_EXISTS.format(target)) from None
    except OSError as error:
        raise ProjectError(f"{target} can't be written: {error.strerror or error}.") from None
    is_whole = False
    try:
        with file:
            file.write(code)
        importlib.invalidate_caches()  # Python lists a folder once a second at most
        new_problems = [problem for problem in load_systems(packages)[1] if problem not in problems]
        is_whole = not new_problems
    except OSError as error:
        raise ProjectError(f"{target} can't be written: {error.strerror or error}.") from None
    finally:
        if not is_whole:
            target.unlink()
    if new_problems:
        raise ProjectError("From these files, no declaration was written, as it could not be loaded:\n" + "\n".join(new_problems))


def by_entity(files: Sequence[str]) -> dict[str, list[Path]]:
    """Return the sample files of each entity, in the order given. An entity is named with the file, or by the file's name.

    Raises:
        ProjectError: a file does not exist, or says no name.
    """
    found: dict[str, list[Path]] = {}
    for given in files:
        entity, path = _entity_and_path(given)
        if not path.is_file():
            raise ProjectError(f"There is no file {path}.")
        if not NAME.fullmatch(entity):
            raise ProjectError(f"{path.name} says no name of an entity: name it, as in orders={given}.")
        found.setdefault(entity, []).append(path)
    return found


def systems_folder(packages: Sequence[str]) -> Path:
    """Return the folder of the user's own systems: the first that is not this package's, or in a checkout this package's.

    Raises:
        ProjectError: there is none.
    """
    own = [name for name in packages if name not in BUILT_IN]
    for name in own:
        folder = Path(name).expanduser()
        if folder.is_dir():
            return folder
        spec = find_spec(name)
        if spec is not None and spec.submodule_search_locations:
            return Path(next(iter(spec.submodule_search_locations)))
    if own or is_installed():
        raise ProjectError(
            "There is no folder for a system of your own. Lay out a project with `lakehouse init FOLDER` and call new-source in it, "
            "or name a folder in LAKEHOUSE_SYSTEMS."
        )
    from lakehouse_assets import systems

    return Path(systems.__path__[0])


def _entity_and_path(given: str) -> tuple[str, Path]:
    entity, equals, path = given.partition("=")
    if equals and not Path(given).exists():
        return entity, Path(path)
    return entity_of(Path(given).name), Path(given)


def _name_fault(system: str) -> str | None:
    """Return why a system can't have this name; None if it can. It is the name of its module, too."""
    if not NAME.fullmatch(system):
        return "use lower case letters, digits and _"
    if keyword.iskeyword(system) or is_private(system):
        return "the word has another meaning"
    return None


def _distinct(feeds: Sequence[DraftFeed]) -> list[DraftFeed]:
    """Return the drafts with a name of its own for each table. The table of a feed's rows keeps the name of the feed."""
    taken = {feed.entity for feed in feeds}
    made = []
    for feed in feeds:
        tables = []
        for table in feed.tables:
            entity = table.entity if table.each is None else free_name(table.entity, taken)
            taken.add(entity)
            tables.append(replace(table, entity=entity, name=f"{feed.system}_{entity}"))
        made.append(replace(feed, tables=tables))
    return made
