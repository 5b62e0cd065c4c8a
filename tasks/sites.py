"""Sites: the saved blocks, by platform."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import BlockDocument
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from pydantic import ValidationError

from tasks.platform import Platform
from tasks.systems.prefect import get_client

P = TypeVar("P", bound=Platform)


class SiteNotFound(Exception):
    """No site of this name is saved."""


class SiteBroken(Exception):
    """A saved site does not fit its platform's settings; the text says which and why, and shows no setting's value,
    which may be a secret."""


@dataclass(frozen=True, slots=True)
class Site:
    """A saved site: its name and what it says."""

    name: str
    platform: Platform


@dataclass(frozen=True, slots=True)
class Saved:
    """The saved sites, and by name what is wrong with those that cannot be used."""

    sites: tuple[Site, ...]
    broken: Mapping[str, str] = field(default_factory=dict)


def load_site(platform: type[P], name: str) -> P:
    """The saved block of a site.

    It is read as a document: to load it as Prefect's own block would also send an event, for which three more things
    are asked of the server, just when a run begins.

    Raises:
        SiteNotFound: there is none of this name.
        SiteBroken: it does not fit its platform. (The UI does not check all that a platform does.)
    """
    try:
        with get_client(sync_client=True) as client:
            document = client.read_block_document_by_name(name, platform.slug())
    except ObjectNotFound:
        raise SiteNotFound(
            f"there is no site {name!r} of the platform {platform.slug()!r}: save one in the Prefect UI under Blocks, "
            "or with `runbooks sites apply FILE`"
        ) from None
    try:
        return platform.model_validate(document.data)
    except ValidationError as error:
        raise SiteBroken(_broken(platform, name, error)) from None  # it repeats what was set


def misfit(error: ValidationError) -> str:
    """What does not fit, in words that show no setting's value."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def _broken(platform: type[Platform], name: str, error: ValidationError) -> str:
    return f"the site {name!r} does not fit {platform.slug()}: {misfit(error)}"


def all_sites(platforms: Iterable[type[Platform]]) -> list[Site]:
    """Every saved site of these platforms.

    Raises:
        SiteBroken: one of them does not fit its platform any more.
    """
    found = read_sites(platforms)
    if found.broken:
        raise SiteBroken("; ".join(found.broken.values()))
    return list(found.sites)


def choose(platforms: Iterable[type[Platform]], name: str) -> Saved:
    """The saved site of this name; all that are saved where the name is empty.

    Raises:
        SiteNotFound: there is none of this name.
        SiteBroken: this one does not fit its platform.
    """
    platforms = tuple(platforms)
    if not name:
        return read_sites(platforms)
    for platform in platforms:
        with suppress(SiteNotFound):
            return Saved((Site(name, load_site(platform, name)),))
    raise SiteNotFound(f"there is no site {name!r}: see `runbooks sites`")


def read_sites(platforms: Iterable[type[Platform]]) -> Saved:
    """Every saved site of these platforms, and which ones cannot be used, with the reason."""
    sites: list[Site] = []
    broken: dict[str, str] = {}
    with get_client(sync_client=True) as client:
        for platform in platforms:
            for document in sorted(_documents(client, platform), key=lambda one: one.name or ""):
                if not document.name:  # part of another block
                    continue
                try:
                    sites.append(Site(document.name, platform.model_validate(document.data)))
                except ValidationError as error:
                    broken[document.name] = _broken(platform, document.name, error)
    return Saved(tuple(sites), broken)


def _documents(client: SyncPrefectClient, platform: type[Platform]) -> list[BlockDocument]:
    """The saved blocks of a platform; none where it was never registered with the server."""
    try:
        return client.read_block_documents_by_type(platform.slug())
    except PrefectHTTPStatusError as error:
        if error.response.status_code == 404:
            return []
        raise
