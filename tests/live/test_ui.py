"""What people see and do in the Prefect UI, with a real browser: a run's form, the plan, the answer, the report."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun

from deployments.practice import SITE
from tasks.model.outcome import Outcome, Trust
from tasks.systems.prefect import get_client
from tests.live.browser import browsing, choose, picture, resume_form
from tests.live.conftest import World
from tests.live.test_approval import RUNBOOK, broken
from tests.waiting import wait_for

pytestmark = [pytest.mark.live, pytest.mark.prove, pytest.mark.timeout(400)]


def test_a_plan_is_read_and_approved_and_its_report_is_read(healthy: World, tmp_path: Path) -> None:
    healthy.save_site(trust=Trust.APPROVE)
    began, _, run, asked = broken(healthy)

    with browsing() as page:
        form = resume_form(page, healthy.at.run_page(run))
        told = form.inner_text()
        picture(page, tmp_path, "form")
        for line in asked.plan:
            assert line in told
        choose(page, form, "approve")
        form.locator("textarea").last.fill("ada")
        form.get_by_role("button", name="Submit").click()

        record, report = healthy.end_of(run)
        assert record.outcome is Outcome.RECOVERED, report.verdict
        assert [(a.key, a.answer, a.by) for a in report.approvals] == [(asked.key, "approved", "ada")]
        (write,) = healthy.writes(began, accepted=True)
        assert write.resource == "horizontalpodautoscalers"
        healthy.ended_in_prefect(run)

        page.goto(healthy.at.run_page(run))
        page.get_by_text("Recovered", exact=True).first.wait_for()
        picture(page, tmp_path, "run")
        page.locator(".p-tab").filter(has_text="Artifacts").click()
        page.get_by_text(f"{RUNBOOK}-{SITE}".replace("_", "-"), exact=True).first.click()
        page.get_by_text(report.verdict).first.wait_for()
        picture(page, tmp_path, "report")


def test_a_run_by_hand_is_asked_for_in_words(healthy: World, tmp_path: Path) -> None:
    """Numbers that are left empty are the site's; those that are filled in are this run's own."""
    name = RUNBOOK.replace("_", "-")
    with get_client(sync_client=True) as client, browsing() as page:
        deployment = client.read_deployment_by_name(f"{name}/{name}")

        def runs() -> list[FlowRun]:
            return client.read_flow_runs(
                deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
            )

        def asked_for(replicas: str) -> FlowRun:
            known = {run.id for run in runs()}
            page.goto(f"{healthy.at.prefect}/deployments/deployment/{deployment.id}/run")
            page.get_by_text("How far to go").first.wait_for()
            form = page.locator("form").first
            form.locator("textarea").first.fill(SITE)
            form.locator("input[type=number]").first.fill(replicas)
            told = form.inner_text()
            for words in ("Site", "Incident", "Leave it empty in a manual run", "Never further than the site allows"):
                assert words in told
            picture(page, tmp_path, f"by-hand-{replicas}")
            form.get_by_role("button", name="Submit").click()
            return wait_for("the run", lambda: next((run for run in runs() if run.id not in known), None))

        for replicas, numbers in (("", {}), ("7", {"replicas": 7})):
            run = asked_for(replicas)
            assert (run.parameters["site"], run.parameters["numbers"]) == (SITE, numbers)
            assert healthy.ended_in_prefect(str(run.id)) == ("COMPLETED", "NothingToDo")
