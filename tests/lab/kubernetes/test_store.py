"""The store: revisions, history, selector transitions, and what a restart remembers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lab.kubernetes.apiserver.errors import ApiError
from lab.kubernetes.apiserver.journal import Journal, Key
from lab.kubernetes.apiserver.resources import find
from lab.kubernetes.apiserver.store import Event, Store
from lab.kubernetes.apiserver.watching import View, transition
from lab.kubernetes.objects import Object, revision_of
from lab.kubernetes.selectors import LabelSelector

COLLECTION = ("", "configmaps")


def key(name: str) -> Key:
    return Key("", "configmaps", "default", name)


def config_map(name: str, **labels: str) -> Object:
    return {"metadata": {"name": name, "namespace": "default", "uid": name, "labels": labels}}


def test_every_write_has_the_next_revision(tmp_path: Path) -> None:
    store = Store(Journal(tmp_path / "journal"))
    first = store.put(key("a"), config_map("a"))
    second = store.put(key("a"), config_map("a", x="y"))
    removed = store.remove(key("a"))
    assert [revision_of(each) for each in (first, second, removed)] == [2, 3, 4]
    assert store.get(key("a")) is None


def test_a_restart_remembers_objects_and_the_revision(tmp_path: Path) -> None:
    store = Store(Journal(tmp_path / "journal"))
    store.put(key("a"), config_map("a", n="1"))
    store.put(key("b"), config_map("b"))
    store.put(key("a"), config_map("a", n="2"))
    store.remove(key("b"))
    with (tmp_path / "journal").open("a") as file:
        file.write('[99, ["", "configmaps", "default", "torn')
    again = Store(Journal(tmp_path / "journal"))
    assert again.revision == store.revision == 5
    assert again.list(COLLECTION) == store.list(COLLECTION)
    assert revision_of(again.put(key("c"), config_map("c"))) == 6
    assert Store(Journal(tmp_path / "journal")).revision == 6


def test_the_journal_does_not_grow_for_ever(tmp_path: Path) -> None:
    store = Store(Journal(tmp_path / "journal"))
    for number in range(3_000):
        store.put(key("a"), config_map("a", n=str(number)))
    assert len((tmp_path / "journal").read_text().splitlines()) < 1_100
    assert Store(Journal(tmp_path / "journal")).list(COLLECTION)[0]["metadata"]["labels"] == {"n": "2999"}


def test_a_subscription_begins_after_its_revision(tmp_path: Path) -> None:
    async def scenario() -> list[tuple[str, int]]:
        store = Store(Journal(tmp_path / "journal"))
        since = revision_of(store.put(key("a"), config_map("a")))
        store.put(key("a"), config_map("a", n="1"))
        store.put(Key("", "secrets", "default", "s"), config_map("s"))
        subscription = store.subscribe(COLLECTION, since)
        store.remove(key("a"))
        store.close()
        seen: list[tuple[str, int]] = []
        while (event := await subscription.next()) is not None:
            seen.append((event.type, event.revision))
        return seen

    assert asyncio.run(scenario()) == [("MODIFIED", 3), ("DELETED", 5)]


def test_what_is_gone_and_what_has_not_come(tmp_path: Path) -> None:
    store = Store(Journal(tmp_path / "journal"), history=3)
    for number in range(6):
        store.put(key("a"), config_map("a", n=str(number)))
    with pytest.raises(ApiError, match="too old resource version") as gone:
        store.subscribe(COLLECTION, 2)
    assert gone.value.code == 410
    with pytest.raises(ApiError, match="Too large resource version") as early:
        store.subscribe(COLLECTION, 99)
    assert early.value.code == 504
    restarted = Store(Journal(tmp_path / "journal"))
    with pytest.raises(ApiError, match="too old resource version"):
        restarted.subscribe(COLLECTION, restarted.revision - 1)
    restarted.subscribe(COLLECTION, restarted.revision)


@pytest.mark.parametrize(
    ("kind", "before", "after", "seen"),
    [
        ("ADDED", None, "red", "ADDED"),
        ("ADDED", None, "blue", None),
        ("MODIFIED", "blue", "red", "ADDED"),
        ("MODIFIED", "red", "red", "MODIFIED"),
        ("MODIFIED", "red", "blue", "DELETED"),
        ("MODIFIED", "blue", "blue", None),
        ("DELETED", "red", "red", "DELETED"),
        ("DELETED", "blue", "blue", None),
    ],
)
def test_a_watch_sees_events_through_its_selector(kind: str, before: str | None, after: str, seen: str | None) -> None:
    resource = find("", "v1", "configmaps")
    assert resource is not None
    view = View(resource, "default", LabelSelector.parse("team=red").matches, lambda document: document)
    previous = None if before is None else config_map("a", team=before)
    event = Event(kind, key("a"), config_map("a", team=after), previous)  # type: ignore[arg-type]
    assert transition(event, view) == seen
    elsewhere = View(resource, "other", view.matches, view.present)
    assert transition(event, elsewhere) is None
