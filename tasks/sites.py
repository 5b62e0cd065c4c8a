"""Sites: the saved blocks, by platform."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from pydantic import ValidationError

from tasks.platform import Platform

P = TypeVar("P", bound=Platform)

log = logging.getLogger("runbooks.sites")


class SiteNotFound(Exception):
    """No site of this name is saved."""


class SiteUnusable(Exception):
    """A site is saved whose settings do not fit: the UI does not check all of them. The text shows no setting's value,
    which may be a secret."""


@dataclass(frozen=True, slots=True)
class Site:
    """A saved site: its name and what it says."""

    name: str
    platform: Platform


@dataclass(frozen=True, slots=True)
class Sites:
    """The saved sites that can be used, and why the others cannot, by their names."""

    usable: tuple[Site, ...]
    unusable: dict[str, str]

    def named(self, name: str) -> Sites:
        """Those of this name; all, where it is empty."""
        return Sites(
            tuple(site for site in self.usable if name in ("", site.name)),
            {found: why for found, why in self.unusable.items() if name in ("", found)},
        )


def load_site(platform: type[P], name: str) -> P:
    """The saved block of a site.

    Raises:
        SiteNotFound: there is none of this name.
        SiteUnusable: its settings do not fit.
    """
    try:
        found = platform.load(name)
    except ValueError as error:
        if not isinstance(error.__cause__, ObjectNotFound):
            raise
        raise SiteNotFound(
            f"there is no site {name!r} of the platform {platform.slug()!r}: save one in the Prefect UI under Blocks, "
            "or with `runbooks sites apply FILE`"
        ) from error
    except RuntimeError as error:
        if not isinstance(error.__cause__, ValidationError):
            raise
        # From None: the other errors repeat what was set.
        raise SiteUnusable(f"site {name!r} cannot be used: {misfit(error.__cause__)}") from None
    assert isinstance(found, platform)
    return found


def misfit(error: ValidationError) -> str:
    """What does not fit, in words that show no setting's value."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def look_up(platforms: Iterable[type[Platform]]) -> Sites:
    """Every saved site of these platforms. One that cannot be used keeps no other from being used."""
    usable: list[Site] = []
    unusable: dict[str, str] = {}
    for platform in platforms:
        for name in site_names(platform):
            try:
                usable.append(Site(name, load_site(platform, name)))
            except SiteUnusable as error:
                unusable[name] = str(error)
    return Sites(tuple(usable), unusable)


def all_sites(platforms: Iterable[type[Platform]]) -> list[Site]:
    """Every saved site of these platforms that can be used; the others are logged."""
    found = look_up(platforms)
    for why in found.unusable.values():
        log.error("%s", why)
    return list(found.usable)


def site_names(platform: type[Platform]) -> list[str]:
    """The names of a platform's saved sites; none where the platform was never registered with the server."""
    with get_client(sync_client=True) as client:
        try:
            documents = client.read_block_documents_by_type(platform.slug())
        except PrefectHTTPStatusError as error:
            if error.response.status_code == 404:
                return []
            raise
    return sorted(document.name for document in documents if document.name)
