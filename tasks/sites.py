"""Sites: the saved blocks, by platform."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from pydantic import ValidationError

from tasks.platform import Platform

P = TypeVar("P", bound=Platform)


class SiteNotFound(Exception):
    """No site of this name is saved."""


@dataclass(frozen=True, slots=True)
class Site:
    """A saved site: its name and what it says."""

    name: str
    platform: Platform


def load_site(platform: type[P], name: str) -> P:
    """The saved block of a site.

    It is read as a document: to load it as Prefect's own block would also send an event, for which four more things
    are asked of the server, just when a run begins.

    Raises:
        SiteNotFound: there is none of this name, or what is saved does not fit.
    """
    with get_client(sync_client=True) as client:
        try:
            document = client.read_block_document_by_name(name, platform.slug())
        except ObjectNotFound as error:
            raise SiteNotFound(
                f"there is no site {name!r} of the platform {platform.slug()!r}: save one in the Prefect UI under "
                "Blocks, or with `runbooks sites apply FILE`"
            ) from error
    try:
        return platform.model_validate(document.data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SiteNotFound(
            f"the site {name!r} does not fit this version: {where}: {first['msg']}: save it again"
        ) from error


def all_sites(platforms: Iterable[type[Platform]]) -> list[Site]:
    """Every saved site of these platforms."""
    return [Site(name, load_site(platform, name)) for platform in platforms for name in site_names(platform)]


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
