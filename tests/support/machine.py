"""Explores the states of books and tables: two writers, faults, removals, builds by hand, changed code, lost and restored tables.

A history is a list of actions, made by a seed or written down; playing it is repeatable, so that a history that goes wrong can be
shortened to what is needed for it. What must be so, whatever happened: while no writer is at work, an empty plan means that the tables
hold what landed and that the accounts add up; and a few passes end in an empty plan.
"""

import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta
from hashlib import md5
from itertools import chain, product
from pathlib import Path
from typing import Any

from lakehouse_assets.contracts.system import SilverTable
from tests.support.adapter import BAD, BROKEN, CUSTOMERS, SALES, START, STRICT, Shop, csv, things
from tests.support.oracle import Row, expected
from tests.support.writers import Fault, Writer, stopping_writers

_RACES = 0.25
"""How often two writers race on purpose."""

DATES = (START, START + timedelta(days=1))
FILES = ("a.csv", "b.csv")
PASSES = 8
"""So many passes bring everything up to date, whatever has happened."""

BOOKS = (("ops", "partitions"), ("quarantine", "rows"))

FAULTS = [Fault(when, kind) for when, kind in product(("before", "after"), ("conflict", "store", "kill"))]

Rows = list[dict[str, object]]
Action = tuple[Any, ...]
"""A method of a machine, and what it is called with."""
Draw = Callable[[random.Random], tuple[Any, ...]]


def one(*choices: Sequence[Any]) -> Draw:
    """Draws one of each of the choices."""
    return lambda chance: tuple(chance.choice(of) for of in choices)


class Machine:
    """What all machines do. Each names its layers, its actions by weight, and what its tables must hold."""

    layers: tuple[str, ...] = ()
    tables: tuple[tuple[str, str], ...] = ()
    """Those that somebody may lay hands on."""
    arrivals: tuple[str, ...] = ()
    """The actions that change landing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shop = Shop(folder / "root")
        self.landed: dict[tuple[str, date, str], Rows] = {}
        self.writers: dict[int, Writer] = {}
        self.met: list[Fault] = []
        """The faults that befell writers that have ended."""
        self.disturbed = False
        """Whether somebody laid hands on a table while a writer was at work: it may fail then, but not leave anything wrong."""

    def actions(self) -> list[tuple[int, str, Draw]]:
        """What may happen, each with its weight."""
        hands = one(self.tables)
        return [
            (6, "go_on", lambda chance: (chance.randrange(2), chance.choice([1, 1, 2, 3, 4, 6, 1_000]))),
            (2, "meet_fault", lambda chance: (chance.randrange(2), chance.choice(FAULTS), chance.randint(1, 6))),
            (2, "settle", one()),
            (1, "maintain", one([0, 168])),
            *([(1, "lose", hands), (1, "back_up", hands), (1, "put_back", hands)] if self.tables else []),
            *([(1, "restore", one(self.tables, [1, 2, 3]))] if self.tables else []),
        ]

    # Two writers.

    def begin(self, work: Callable[[], object]) -> None:
        """Let a writer begin, beside another one or alone."""
        slot = 1 if 0 in self.writers else 0
        if slot in self.writers:
            self.go_on(slot, 1_000)
        self.writers[slot] = Writer(work).go()

    def go_on(self, slot: int, requests: int) -> None:
        """Let one of the writers do some of its requests."""
        slot = slot if slot in self.writers else 1 - slot
        if slot in self.writers:
            writer = self.writers[slot]
            for _ in range(requests):
                if writer.go().done:
                    break
                if (writer.met or writer.at == "asleep") and not self.disturbed:
                    assert not (holes := self.shop.holes()), (
                        f"tables name files that are gone, while a writer is {writer.at}: {holes}"
                    )
            if writer.done:
                self.met += writer.met
                del self.writers[slot]
                excused = writer.met or self.disturbed
                self.disturbed = self.disturbed and bool(self.writers)
                if writer.error is not None and not excused:
                    raise AssertionError(f"a writer failed without any fault: {writer.error!r}") from writer.error

    def go_until(self, slot: int, place: str) -> None:
        """Let one of the writers go on until it stands at a place such as `before commit`."""
        while slot in self.writers and self.writers[slot].at != place:
            self.go_on(slot, 1)

    def meet_fault(self, slot: int, fault: Fault, requests: int) -> None:
        """Let a fault befall the next write of one of the writers."""
        slot = slot if slot in self.writers else 1 - slot
        if slot in self.writers:
            self.writers[slot].fault = fault
            self.go_on(slot, requests)

    # Tables that somebody lays hands on.

    def lose(self, table: tuple[str, str]) -> None:
        self.disturbed = bool(self.writers)
        self.shop.lose(*table)

    def back_up(self, table: tuple[str, str]) -> None:
        self.shop.back_up(*table, self.folder / "copies" / "/".join(table))

    def put_back(self, table: tuple[str, str]) -> None:
        copy = self.folder / "copies" / "/".join(table)
        if copy.exists():
            self.disturbed = bool(self.writers)
            self.shop.put_back(*table, copy)

    def restore(self, table: tuple[str, str], back: int) -> None:
        self.disturbed = bool(self.writers)
        self.shop.restore(*table, back)

    def maintain(self, hours: int) -> None:
        """Upkeep; of a table that a writer works on it keeps what left it lately, as it is to be used. It makes no work."""
        due = None if self.writers else self.to_build()
        self.shop.maintain(timedelta(hours=168 if self.writers else hours))
        assert due is None or self.to_build() == due, "upkeep has made work"

    # What must be so.

    def settle(self) -> None:
        """Passes until the plan is empty, where no writer is at work."""
        if self.writers:
            return
        for _ in range(PASSES):
            planned = self.to_build()
            if not planned:
                break
            self.shop.build(planned)
        assert not self.to_build(), "passes don't end in an empty plan"

    def to_build(self) -> list[tuple[str, str, tuple[date, ...]]]:
        """What a pass would build."""
        return self.shop.plan(*self.layers)

    def check(self) -> None:
        """An empty plan means that all is right; and nobody ever sees a table with a hole, but by the hand that made it."""
        if not self.writers and not self.to_build():
            self.compare()

    def compare(self) -> None:
        """Hold the tables against landing."""
        raise NotImplementedError

    @property
    def since(self) -> date:
        """From this date on landing counts."""
        return self.shop.start

    def loaded(self, entity: SilverTable) -> dict[tuple[date, str], Rows]:
        """The files of an entity that are loaded: of equal ones of a date the first."""
        files: dict[tuple[date, str], Rows] = {}
        for (table, day, name), rows in sorted(self.landed.items()):
            of_day = [text for (other, _), text in files.items() if other == day]
            if table == entity.name and day >= self.since and rows not in of_day:
                files[day, name] = rows
        return files

    def arrive(self, entity: SilverTable, day: date, name: str, rows: Rows) -> None:
        self.landed[entity.name, day, name] = rows
        self.shop.land(entity, day, name, csv(rows))

    def depart(self, entity: SilverTable, day: date, name: str) -> None:
        if self.landed.pop((entity.name, day, name), None) is not None:
            self.shop.remove(entity, day, name)


def thing(key: str = "k1", at: int = 1, said: str = "x", op: str = "u") -> dict[str, object]:
    """A row that lands."""
    return {"id": key, "at": at, "said": said, "op": op, "note": "n"}


A, B, C = [thing()], [thing(at=2, said="y")], [thing("k2"), thing(said="bad")]
D = [thing("k2", at=2), thing("k3") | {BROKEN: "x"}]
ROWS = [
    A,
    B,
    C,
    D,
    [],
    [thing() | {BROKEN: "x"}],
    [thing("k2", at=3), thing(at=3, op="d")],
    [thing(said="z"), thing("k2", said="y")],
]


class RawMachine(Machine):
    layers = ("raw",)
    arrivals = ("land", "remove")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.shop.sql = {}
        self.code = [1, 1]
        self.land(DATES[0], "a.csv", A)
        self.land(DATES[0], "b.csv", B)

    @property
    def entity(self) -> SilverTable:
        return self.shop.tables[0]

    def actions(self) -> list[tuple[int, str, Draw]]:
        return [
            *super().actions(),
            (4, "land", one(DATES, FILES, ROWS)),
            (4, "remove", one(DATES, FILES)),
            (6, "build_raw", one([DATES[:1], DATES[1:], DATES])),
            (1, "change_raw", one([1, 2])),
        ]

    def land(self, day: date, name: str, rows: Rows) -> None:
        self.arrive(self.entity, day, name, rows)

    def remove(self, day: date, name: str) -> None:
        self.depart(self.entity, day, name)

    def build_raw(self, dates: Sequence[date]) -> None:
        entity, wanted = self.entity, [day for day in dates if day >= self.shop.start]
        if wanted:
            self.begin(lambda: self.shop.build_raw(entity, wanted))

    def change_raw(self, code: int) -> None:
        if not self.writers:
            self.code[0] = code
            self.shop.tables = [things(*self.code)]

    def compare(self) -> None:
        wanted = Counter(
            (day, name, number, row["id"], str(row["at"]), row["said"])
            for (day, name), rows in self.loaded(self.entity).items()
            for number, row in enumerate(rows, start=2)
            if BROKEN not in row
        )
        result = self.shop.rows("raw.shop_things", '_date, _source_file, _row_number, id, "at", said')
        standing = Counter(row for row in result if row[0] >= self.shop.start)
        assert standing == wanted, f"raw is not what landed: too much {standing - wanted}, missing {wanted - standing}"
        assert (faults := self.shop.account_faults("raw", "shop_things")) is None, faults


class RawTablesMachine(RawMachine):
    """Somebody lays hands on the table and the books."""

    tables = (("raw", "shop_things"), *BOOKS)


class StartDateMachine(RawMachine):
    """The first date moves too. What lies before it is none of the machine's business."""

    def actions(self) -> list[tuple[int, str, Draw]]:
        return [*super().actions(), (3, "move_start", one(DATES))]

    def move_start(self, start: date) -> None:
        if not self.writers:
            self.shop.start = start


class SilverMachine(RawMachine):
    layers = ("raw", "silver")

    def actions(self) -> list[tuple[int, str, Draw]]:
        return [
            *super().actions(),
            (6, "build_silver", one([DATES[:1], DATES[1:], DATES])),
            (1, "change_silver", one([1, 2, 3])),
        ]

    def build_silver(self, dates: Sequence[date]) -> None:
        entity = self.entity
        if self.shop.exists("raw", entity.name):
            self.begin(lambda: self.shop.build_silver(entity, dates))

    def change_silver(self, code: int) -> None:
        if not self.writers:
            self.code[1] = code
            self.shop.tables = [things(*self.code)]

    def compare(self) -> None:
        super().compare()
        rows = self.shop.rows("silver.shop_things", '_date, _source_file, _row_number, thing_id, "at", value')
        standing = {(str(day), name, number): (key, at, value, None) for day, name, number, key, at, value in rows}
        assert len(rows) == len(standing)
        wanted = [expected(chain(*of_dates), "upsert").standing for of_dates in product(*map(self.published, DATES))]
        assert standing in wanted, f"silver is not what landed: {standing}, wanted {wanted}"
        assert (faults := self.shop.account_faults("silver", "shop_things")) is None, faults

    def published(self, day: date) -> list[list[Row]]:
        """What may be published of a date: one thing."""
        return [self.audited(day)]

    def audited(self, day: date) -> list[Row]:
        """The rows of a date as the code has them now."""
        return [
            Row(
                key=str(row["id"]),
                at=int(str(row["at"])),
                value="bad" if row["said"] in BAD[self.code[1]] else str(row["said"]),
                deletes=row["op"] == "d",
                date=day.isoformat(),
                file=name,
                number=number,
            )
            for (of_file, name), rows in self.loaded(self.entity).items()
            if of_file == day
            for number, row in enumerate(rows, start=2)
            if BROKEN not in row
        ]


class StrictMachine(SilverMachine):
    """A row that breaks the rule may stop its date: of that stands what was published before."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.before: dict[date, list[list[Row]]] = {day: [[]] for day in DATES}
        """What may have been published of a date: what is certain once all is settled, and what came since."""

    def actions(self) -> list[tuple[int, str, Draw]]:
        return [*super().actions(), (3, "change_silver", one([1, 2, STRICT]))]

    def settle(self) -> None:
        super().settle()
        for day in DATES:
            if not self.writers and not self.is_refused(day):
                self.before[day] = [self.audited(day)]

    def check(self) -> None:
        for day, before in self.before.items():
            if not self.is_refused(day) and (now := self.audited(day)) not in before:
                before.append(now)
        super().check()

    def to_build(self) -> list[tuple[str, str, tuple[date, ...]]]:
        due = [
            (layer, table, tuple(day for day in dates if layer != "silver" or not self.is_refused(day)))
            for layer, table, dates in super().to_build()
        ]
        return [table for table in due if table[2]]

    def published(self, day: date) -> list[list[Row]]:
        return self.before[day] if self.is_refused(day) else [self.audited(day)]

    def is_refused(self, day: date) -> bool:
        return self.code[1] == STRICT and any(row.value == "bad" and not row.deletes for row in self.audited(day))


class SilverTablesMachine(SilverMachine):
    """Somebody lays hands on the tables and the books."""

    tables = (("raw", "shop_things"), ("silver", "shop_things"), *BOOKS)


MODELS = ("dim_customer", "fact_sales")


class GoldMachine(Machine):
    layers = ("gold",)
    arrivals = ("introduce", "sell")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.shop.tables = []
        self.introduce(DATES[0], (1,))
        self.sell(DATES[0], (1, 2))

    def actions(self) -> list[tuple[int, str, Draw]]:
        some = [(), (1,), (2,), (1, 2)]
        return [
            *super().actions(),
            (2, "introduce", one(DATES, some[1:])),
            (2, "sell", one(DATES, some)),
            (6, "build_gold", one([MODELS[:1], MODELS[1:], MODELS])),
            (1, "change_model", one(MODELS, [1, 2])),
        ]

    def introduce(self, day: date, numbers: Sequence[int]) -> None:
        """These customers are all that there are, and came on a day."""
        for other in DATES:
            rows = [thing(f"c{n}", said="old") for n in numbers] if other == day else []
            self.arrive(CUSTOMERS, other, "a.csv", rows)
        self.stand_for_silver()

    def sell(self, day: date, numbers: Sequence[int]) -> None:
        """The sales of a day are to these customers."""
        self.arrive(SALES, day, "a.csv", [thing(f"{day.day}/{n}", said=f"c{n}") for n in numbers])
        self.stand_for_silver()

    def stand_for_silver(self) -> None:
        for entity in (CUSTOMERS, SALES):
            self.shop.stand_for_silver(entity, DATES)

    @property
    def since(self) -> date:
        return START

    def build_gold(self, selected: Sequence[str]) -> None:
        self.begin(lambda: self.shop.build_gold(selected))

    def change_model(self, model: str, code: int) -> None:
        if not self.writers:
            self.shop.sql[model] = code

    def compare(self) -> None:
        """Gold is made of silver, whatever of landing that holds."""
        code, sources = self.shop.sql, [f"silver.{entity.name}" for entity in (CUSTOMERS, SALES)]
        if not all(self.shop.exists(*source.split(".")) for source in sources):
            return
        customers, sales = (self.shop.rows(source, "_date, id, said") for source in sources)
        keys = {name: (day, _md5(name, said) if code["dim_customer"] == 1 else _md5(said, name)) for day, name, said in customers}
        dimension = Counter((day, customer, key) for customer, (day, key) in keys.items())
        rows = Counter(self.shop.rows("gold.dim_customer", "_date, customer, key"))
        assert rows == dimension, f"the dimension is not what silver holds: {rows}, wanted {dimension}"
        facts = Counter(
            (day, name, customer, key.upper() if key and code["fact_sales"] == 2 else key)
            for day, name, customer in sales
            for key in [keys.get(customer, (day, None))[1]]
        )
        rows = Counter(self.shop.rows("gold.fact_sales", "_date, id, customer, key"))
        assert rows == facts, f"the fact is not what silver holds: {rows}, wanted {facts}"
        if len(sales) != sum(map(len, self.loaded(SALES).values())):
            return  # silver is not what landed: then nothing adds up
        assert (faults := self.shop.account_faults("gold", "fact_sales")) is None, faults


class GoldTablesMachine(GoldMachine):
    """Somebody lays hands on the tables, on those that gold is made of, and on the books."""

    tables = (
        *(("gold", model) for model in MODELS),
        ("silver", "shop_customers"),
        ("silver", "shop_sales"),
        ("ops", "partitions"),
    )

    def settle(self) -> None:
        if not self.writers:
            self.stand_for_silver()
        super().settle()


class GoldStartDateMachine(GoldMachine):
    """The first date moves too; a model reads all that stands."""

    def actions(self) -> list[tuple[int, str, Draw]]:
        return [*super().actions(), (3, "move_start", one(DATES))]

    def move_start(self, start: date) -> None:
        if not self.writers:
            self.shop.start = start


def _md5(*parts: object) -> str:
    return md5("".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()


@contextmanager
def playing(kind: type[Machine], session: Any) -> Iterator[Machine]:
    """A machine over an empty root; at the end all writers finish, passes settle everything, and all is compared with landing."""
    memory = Path("/dev/shm")
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None))
        stack.enter_context(stopping_writers())
        machine = kind(Path(folder))
        machine.shop.session = session
        try:
            yield machine
            for slot in list(machine.writers):
                machine.go_on(slot, 1_000)
            machine.check()
            machine.settle()
            machine.compare()
        finally:
            for writer in machine.writers.values():
                writer.kill()


def play(kind: type[Machine], history: Sequence[Action], session: Any = None) -> Machine:
    """Let a history happen, and look after each action. `session` is the engine's, where silver is built."""
    with playing(kind, session) as machine:
        for name, *given in history:
            getattr(machine, name)(*given)
            machine.check()
    return machine


def random_history(kind: type[Machine], seed: int, length: int) -> list[Action]:
    """The history of a seed: single actions, and races of two writers with something that happens between them."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, stopping_writers():
        weighed = kind(Path(folder)).actions()
    drawn = {name: draw for _, name, draw in weighed}
    history: list[Action] = []

    def add(*names: str) -> None:
        name = chance.choice(names)
        history.append((name, *drawn[name](chance)))

    while len(history) < length:
        if chance.random() < _RACES:
            builds = [name for name in drawn if name.startswith("build_")]
            add(*builds)
            build = history[-1]
            history.append(("go_on", 0, chance.choice([0, 0, 1, 2, 3, 4, 6])))
            add(*kind.arrivals)
            history += [build, ("go_on", 1, chance.choice([1, 2, 3, 4, 5, 6, 8, 1_000]))]
            if chance.random() < _RACES:
                add("meet_fault")
            history += [("go_on", 0, 1_000), ("go_on", 1, 1_000)]
        else:
            _, name, _ = chance.choices(weighed, [weight for weight, _, _ in weighed])[0]
            add(name)
    return history


def fault_of(kind: type[Machine], history: Sequence[Action], session: Any = None) -> Exception | None:
    """What goes wrong in a history."""
    try:
        play(kind, history, session)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what was looked for
        return error
    return None


def shortened(kind: type[Machine], history: list[Action], session: Any = None) -> list[Action]:
    """The history without what is not needed for it to go wrong."""
    size = max(1, len(history) // 2)
    while size:
        for first in range(len(history) - size, -1, -size):
            fewer = history[:first] + history[first + size :]
            if fault_of(kind, fewer, session) is not None:
                history = fewer
        size //= 2
    return history
