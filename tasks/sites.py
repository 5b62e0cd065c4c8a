"""Sites: the saved blocks, by platform."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import BlockDocument
from prefect.exceptions import PrefectHTTPStatusError
from pydantic import ValidationError

from tasks.platform import Platform

P = TypeVar("P", bound=Platform)


class SiteNotFound(Exception):
    """No site of this name is saved."""


class SiteBroken(Exception):
    """A saved site does not fit its platform's settings; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Site:
    """A saved site: its name and what it says."""

    name: str
    platform: Platform


@dataclass(frozen=True, slots=True)
class Saved:
    """The saved sites, and what is wrong with those that cannot be used."""

    sites: tuple[Site, ...]
    broken: tuple[str, ...] = ()


def load_site(platform: type[P], name: str) -> P:
    """The saved block of a site.

    Raises:
        SiteNotFound: there is none of this name.
    """
    try:
        found = platform.load(name)
    except ValueError as error:
        raise SiteNotFound(
            f"there is no site {name!r} of the platform {platform.slug()!r}: save one in the Prefect UI under Blocks, "
            "or with `runbooks sites apply FILE`"
        ) from error
    assert isinstance(found, platform)
    return found


def all_sites(platforms: Iterable[type[Platform]]) -> list[Site]:
    """Every saved site of these platforms.

    Raises:
        SiteBroken: one of them does not fit its platform any more.
    """
    found = read_sites(platforms)
    if found.broken:
        raise SiteBroken("; ".join(found.broken))
    return list(found.sites)


def read_sites(platforms: Iterable[type[Platform]]) -> Saved:
    """Every saved site of these platforms, and which ones cannot be used, with the reason."""
    sites: list[Site] = []
    broken: list[str] = []
    with get_client(sync_client=True) as client:
        for platform in platforms:
            for document in sorted(_documents(client, platform), key=lambda one: one.name or ""):
                if not document.name:  # part of another block
                    continue
                try:
                    sites.append(Site(document.name, platform.model_validate(document.data)))
                except ValidationError as error:
                    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
                    where = ".".join(str(part) for part in first["loc"])
                    broken.append(f"the site {document.name!r} does not fit {platform.slug()}: {where}: {first['msg']}")
    return Saved(tuple(sites), tuple(broken))


def _documents(client: SyncPrefectClient, platform: type[Platform]) -> list[BlockDocument]:
    """The saved blocks of a platform; none where it was never registered with the server."""
    try:
        return client.read_block_documents_by_type(platform.slug())
    except PrefectHTTPStatusError as error:
        if error.response.status_code == 404:
            return []
        raise
