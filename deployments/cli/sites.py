"""`runbooks sites`: the saved sites, and sites from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from cyclopts import App
from pydantic import ValidationError

from deployments.cli.output import Exit, Json, UserError, out, print_json, print_table
from deployments.cli.runs import require_server
from flows.catalogue import PLATFORMS
from tasks.sites import all_sites

app = App(name="sites", help="The sites: where the platforms are, and what runbooks may do there.")


@app.default
def list_sites(*, json: Json = False) -> int:
    """List all saved sites."""
    require_server()
    sites = all_sites(PLATFORMS.values())
    entries = [
        {
            "name": site.name,
            "platform": site.platform.slug(),
            "where": site.platform.where(),
            "trust": site.platform.trust.value,
            "alert labels": ",".join(f"{k}={v}" for k, v in site.platform.alert_labels.items()),
        }
        for site in sites
    ]
    if json:
        print_json(entries)
    else:
        head = ("name", "platform", "where", "trust", "alert labels")
        print_table(
            head, [tuple(e.values()) for e in entries], empty="No site is saved: see `runbooks sites apply --help`."
        )
    return Exit.FINE


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
    except yaml.YAMLError as error:
        raise UserError(f"{file} is not YAML: {error}") from error
    if not isinstance(found, dict) or not found:
        raise UserError(f"{file} must map names of sites to their settings")
    saved = [_save(str(name), settings) for name, settings in found.items()]
    print_json(saved) if json else out.print(f"saved: {', '.join(saved)}")
    return Exit.FINE


def _save(name: str, settings: Any) -> str:
    if not isinstance(settings, dict) or settings.get("platform") not in PLATFORMS:
        raise UserError(f"site {name!r} must name its platform: one of {', '.join(PLATFORMS)}")
    values = {key: value for key, value in settings.items() if key != "platform"}
    platform = PLATFORMS[settings["platform"]]
    unknown = set(values) - set(platform.model_fields)
    if unknown:
        raise UserError(
            f"site {name!r} has settings that {platform.slug()} does not know: {', '.join(sorted(unknown))}"
        )
    try:
        platform(**values).save(name, overwrite=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"site {name!r}: {where}: {first['msg']}") from error
    return name
