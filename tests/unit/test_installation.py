"""One installation has one ledger: who uses another one is told so."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from prefect.client.schemas.actions import VariableCreate, VariableUpdate
from prefect.client.schemas.objects import Variable
from prefect.exceptions import ObjectAlreadyExists

from tasks import installation
from tasks.installation import WrongLedger, adopt, same_ledger
from tasks.ledger import Ledger
from tests.unit.ledgers import fresh_ledger


class Variables:
    """The Prefect server's variables. `meanwhile` is what another worker sets before ours gets through."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.meanwhile: str | None = None

    def __enter__(self) -> Variables:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to close."""

    def read_variable_by_name(self, name: str) -> Variable | None:
        value = self.values.get(name)
        return None if value is None else Variable(id=uuid.uuid4(), name=name, value=value)

    def create_variable(self, variable: VariableCreate) -> None:
        if self.meanwhile is not None:
            self.values[variable.name] = self.meanwhile
        if variable.name in self.values:
            raise ObjectAlreadyExists(http_exc=Exception("409"))
        self.values[variable.name] = variable.value

    def update_variable(self, variable: VariableUpdate) -> None:
        assert variable.name is not None
        self.values[variable.name] = variable.value


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Variables:
    found = Variables()
    monkeypatch.setattr(installation, "get_client", lambda sync_client: found)
    return found


@pytest.fixture
def ledgers() -> tuple[Ledger, Ledger]:
    """Ledgers of their own: that of one host, and that of another."""
    return fresh_ledger(), fresh_ledger()


def test_the_first_ledger_becomes_the_installation_s(server: Variables, ledgers: tuple[Ledger, Ledger]) -> None:
    ours, other = ledgers
    same_ledger(ours)
    same_ledger(ours)
    with pytest.raises(WrongLedger, match="would act without the locks"):
        same_ledger(other)


def test_two_workers_that_begin_at_once_agree(server: Variables, ledgers: tuple[Ledger, Ledger]) -> None:
    ours, other = ledgers
    server.meanwhile = ours.identity
    same_ledger(ours)
    server.values.clear()
    with pytest.raises(WrongLedger):
        same_ledger(other)


def test_a_person_may_replace_the_ledger(server: Variables, ledgers: tuple[Ledger, Ledger]) -> None:
    ours, other = ledgers
    adopt(ours)
    same_ledger(ours)
    adopt(other)
    same_ledger(other)
    with pytest.raises(WrongLedger):
        same_ledger(ours)
