"""`runbooks sites`: the saved sites, and sites from a file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from cyclopts import App
from pydantic import BaseModel, ValidationError

from deployments.cli.installation import require_server
from deployments.cli.output import Exit, Json, UserError, err, out, print_json, print_table
from flows.catalogue import PLATFORMS, RUNBOOKS
from tasks.sites import misfit, read_sites

app = App(name="sites", help="The sites: where the platforms are, and what runbooks may do there.")


@app.default
def list_sites(*, json: Json = False) -> int:
    """List all saved sites."""
    require_server()
    saved = read_sites(PLATFORMS.values())
    entries = [
        {
            "name": site.name,
            "platform": site.platform.slug(),
            "where": site.platform.where(),
            "trust": site.platform.trust.value,
            "alert labels": ",".join(f"{k}={v}" for k, v in site.platform.alert_labels.items()),
        }
        for site in saved.sites
    ]
    if json:
        print_json(entries)
    else:
        head = ("name", "platform", "where", "trust", "alert labels")
        print_table(
            head, [tuple(e.values()) for e in entries], empty="No site is saved: see `runbooks sites apply --help`."
        )
    for why in saved.broken.values():
        err.print(f"{why}; correct it in the Prefect UI under Blocks", markup=False)
    return Exit.FAILED if saved.broken else Exit.FINE


@app.command
def apply(file: Path, *, json: Json = False) -> int:
    """Save sites from a YAML file: a mapping of names to settings, each with its `platform`.

    A site that exists is replaced. What the settings mean is shown in the Prefect UI under Blocks.

    Args:
        file: The YAML file.
    """
    require_server()
    try:
        found = yaml.safe_load(file.read_text())
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is not YAML: {error}") from error
    if not isinstance(found, dict) or not found:
        raise UserError(f"{file} must map names of sites to their settings")
    saved = [_save(str(name), settings) for name, settings in found.items()]
    print_json(saved) if json else out.print(f"saved: {', '.join(saved)}")
    return Exit.FINE


def _save(name: str, settings: Any) -> str:
    if not re.fullmatch("[a-z0-9-]+", name):
        raise UserError(f"{name!r} cannot be a site's name: it has lower case letters, digits and dashes only")
    if not isinstance(settings, dict) or str(settings.get("platform")) not in PLATFORMS:
        raise UserError(f"site {name!r} must name its platform: one of {', '.join(PLATFORMS)}")
    values = {str(key): value for key, value in settings.items() if key != "platform"}
    platform = PLATFORMS[settings["platform"]]
    if unknown := sorted(_unknown(platform, values)):
        raise UserError(f"site {name!r} has settings that {platform.slug()} does not know: {', '.join(unknown)}")
    try:
        site = platform(**values)
    except ValidationError as error:
        raise UserError(f"site {name!r}: {misfit(error)}") from error
    if unheard_of := sorted(set(site.trust_by_runbook) - set(RUNBOOKS)):
        raise UserError(f"site {name!r} trusts runbooks that there are not: {', '.join(unheard_of)}")
    site.save(name, overwrite=True)
    return name


def _unknown(model: type[BaseModel], values: Mapping[str, Any]) -> Iterator[str]:
    """The settings that a model does not have, wherever they stand: a limit that is misspelt would not hold."""
    for key, value in values.items():
        if key not in model.model_fields:
            yield key
            continue
        inner = _model_of(model.model_fields[key].annotation)
        for one in value if isinstance(value, list) else [value]:
            if inner is not None and isinstance(one, dict):
                yield from (f"{key}.{name}" for name in _unknown(inner, one))


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The model of a setting, or of each of a list of settings; None where it has none."""
    candidates = [annotation, *get_args(annotation)]
    return next((one for one in candidates if isinstance(one, type) and issubclass(one, BaseModel)), None)
