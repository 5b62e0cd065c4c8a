"""`runbooks lab`: the practice ground."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from deployments.cli.output import Exit, Json, err, out, print_json, print_table
from deployments.practice import write_practice_rules
from lab.ground import Ground
from lab.message_bus.faults import FAULTS, Fault
from lab.model import Form
from tasks.settings import data_folder

app = App(name="lab", help="The practice ground: a small live platform that can be broken and healed.")

State = Annotated[Path | None, Parameter(help="The ground's folder.", show_default=False)]


def _ground(state: Path | None) -> Ground:
    return Ground(_folder(state))


def _folder(state: Path | None) -> Path:
    return state or data_folder() / "lab"


@app.command
def up(*, state: State = None, json: Json = False) -> int:
    """Start the practice ground."""
    rules = write_practice_rules(_folder(state) / "rules")
    endpoints = _ground(state).up(rule_files=[rules], progress=lambda line: err.print(line, markup=False))
    if json:
        print_json(endpoints)
    else:
        out.print(f"The ground is up. Look at it with:  export KUBECONFIG={endpoints.kubeconfig}", markup=False)
    return Exit.FINE


@app.command
def down(*, state: State = None, json: Json = False) -> int:
    """Stop the practice ground."""
    _ground(state).down()
    print_json({"running": False}) if json else out.print("The ground is down.")
    return Exit.FINE


@app.command
def status(*, state: State = None, json: Json = False) -> int:
    """Show how the ground is."""
    found = _ground(state).status()
    if json:
        print_json(found)
        return Exit.FINE
    print_table(
        ("process", "running"),
        [(component.name, "yes" if component.running else "no") for component in found.components],
        empty="The ground is down.",
    )
    if found.workloads:
        out.print()
        print_table(
            ("deployment", "ready", "wanted"),
            [(workload.name, str(workload.ready), str(workload.desired)) for workload in found.workloads],
            empty="",
        )
        out.print(f"\nqueue: {found.queue_depth}, utilisation: {found.utilisation}", markup=False)
    if found.fault:
        out.print(f"broken: {found.fault.name}, {found.fault.form.value}")
    return Exit.FINE


@app.command
def faults(*, json: Json = False) -> int:
    """List the faults that the ground knows."""
    if json:
        print_json([_told(fault) for fault in FAULTS])
    else:
        rows = [(fault.name, fault.form.value, fault.symptoms, fault.cure) for fault in FAULTS]
        print_table(("fault", "form", "what one sees", "what cures it"), rows, empty="There are none.")
    return Exit.FINE


def _told(fault: Fault) -> dict[str, str]:
    """What a person may know of a fault: not how it is brought about."""
    return {"fault": fault.name, "form": fault.form.value, "symptoms": fault.symptoms, "cure": fault.cure}


@app.command(name="break")
def break_(fault: str, *, form: Form = Form.CURABLE_AT_ONCE, state: State = None, json: Json = False) -> int:
    """Break the ground.

    Args:
        fault: The fault's name, see `runbooks lab faults`.
        form: How hard it is to cure.
    """
    broken = _ground(state).break_(fault, form)
    if json:
        print_json(_told(broken))
    else:
        out.print(f"broken: {broken.name}, {broken.form.value}. {broken.symptoms}", markup=False)
    return Exit.FINE


@app.command
def heal(*, state: State = None, json: Json = False) -> int:
    """Take back every fault and every change."""
    _ground(state).heal()
    print_json({"healthy": True}) if json else out.print("The ground is healthy.")
    return Exit.FINE


@app.command
def audit(*, state: State = None, json: Json = False) -> int:
    """Show every write that reached the ground's cluster."""
    records = _ground(state).audit()
    if json:
        print_json(records)
    else:
        rows = [(f"{r.time:%H:%M:%S}", r.user, r.verb, r.resource, r.name, str(r.code)) for r in records]
        print_table(("time", "user", "verb", "resource", "name", "code"), rows, empty="Nothing was written.")
    return Exit.FINE
