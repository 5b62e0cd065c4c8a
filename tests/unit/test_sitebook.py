"""The sites as the intake knows them: Prefect's word, else the last one, else the ledger's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from deployments.intake.sitebook import SiteBook
from tasks.ledger import Ledger, LedgerUnavailable
from tasks.model.site import Address
from tasks.sites import Saved, Site
from tests.unit.ledgers import fresh_ledger
from tests.unit.standin import standin


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    found = fresh_ledger()
    yield found
    found.close()


class Prefect:
    """Has the sites, unless it is away."""

    def __init__(self, *sites: Site) -> None:
        self.saved = Saved(sites)
        self.away = False
        self.asked = 0

    def read(self) -> Saved:
        self.asked += 1
        if self.away:
            raise ConnectionError("connection refused")
        return self.saved


PROD = Site("prod", standin(alert_labels={"namespace": "bus"}))


def test_what_prefect_says_counts_and_is_kept_in_the_ledger(ledger: Ledger) -> None:
    book = SiteBook(ledger, Prefect(PROD).read)
    assert (book.sites, book.addresses, book.why) == ((), [], "they were not read yet")
    book.refresh()
    assert (book.sites, book.addresses, book.why) == ([PROD], [PROD.platform.address("prod")], "")
    assert [listed.address.site for listed in ledger.directory.all()] == ["prod"]


def test_it_is_not_asked_again_at_once(ledger: Ledger) -> None:
    prefect = Prefect(PROD)
    book = SiteBook(ledger, prefect.read)
    book.refresh()
    book.refresh()
    assert prefect.asked == 1


def test_while_prefect_is_away_the_last_word_counts(ledger: Ledger) -> None:
    prefect = Prefect(PROD)
    book = SiteBook(ledger, prefect.read, fresh=0)
    book.refresh()
    prefect.away = True
    book.refresh()
    assert book.sites == [PROD]
    assert "connection refused" in book.why


def test_after_a_restart_the_ledger_still_knows_where_an_alert_belongs(ledger: Ledger) -> None:
    SiteBook(ledger, Prefect(PROD).read).refresh()
    prefect = Prefect()
    prefect.away = True
    book = SiteBook(ledger, prefect.read)
    book.refresh()
    assert book.addresses == [PROD.platform.address("prod")]
    assert book.sites == ()


def test_a_site_that_does_not_fit_blinds_nobody_to_the_others(ledger: Ledger) -> None:
    prefect = Prefect(PROD)
    prefect.saved = Saved((PROD,), {"old": "the site 'old' does not fit"})
    book = SiteBook(ledger, prefect.read)
    book.refresh()
    assert (book.sites, book.broken) == ([PROD], {"old": "the site 'old' does not fit"})


def test_of_a_site_that_does_not_fit_any_more_the_last_word_counts(ledger: Ledger) -> None:
    """Its alerts still open incidents, and its people are still called."""
    prefect = Prefect(PROD)
    book = SiteBook(ledger, prefect.read, fresh=0)
    book.refresh()
    prefect.saved = Saved((), {"prod": "the site 'prod' does not fit"})
    for _ in range(2):
        book.refresh()
    assert (list(book.sites), list(book.addresses)) == ([PROD], [PROD.platform.address("prod")])
    restarted = SiteBook(ledger, prefect.read, fresh=0)
    restarted.refresh()
    assert list(restarted.addresses) == [PROD.platform.address("prod")], "where its alerts belong is known yet"
    prefect.saved = Saved(())
    restarted.refresh()
    assert (list(restarted.addresses), ledger.directory.all()) == ([], []), "it was deleted"


def test_a_directory_that_could_not_be_kept_is_kept_at_the_next_look(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep, fails = ledger.directory.keep, iter([LedgerUnavailable("locked")])

    def kept(addresses: Sequence[Address]) -> None:
        if trouble := next(fails, None):
            raise trouble
        keep(addresses)

    monkeypatch.setattr(ledger.directory, "keep", kept)
    book = SiteBook(ledger, Prefect(PROD).read)
    book.refresh()
    assert (list(book.addresses), ledger.directory.all()) == ([PROD.platform.address("prod")], [])
    book.refresh()
    assert [listed.address.site for listed in ledger.directory.all()] == ["prod"]
