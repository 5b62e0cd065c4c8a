"""Which pods Prometheus is told to scrape."""

from __future__ import annotations

import pytest

from lab.discovery import targets
from lab.kubernetes.objects import Object

SCRAPED = {"prometheus.io/scrape": "true", "prometheus.io/port": "8082"}


def pod(annotations: dict[str, str], address: str | None = "127.1.1.1", **metadata: str) -> Object:
    labels = {"app": "orchestration"}
    described = {"name": "a", "namespace": "b", "labels": labels, "annotations": annotations, **metadata}
    return {"metadata": described, "status": {"podIP": address} if address else {}}


def test_an_annotated_pod_is_scraped() -> None:
    expected = {"targets": ["127.1.1.1:8082"], "labels": {"namespace": "b", "pod": "a", "app": "orchestration"}}
    assert targets([pod(SCRAPED)]) == [expected]


@pytest.mark.parametrize(
    "other",
    [
        pod({}),
        pod({**SCRAPED, "prometheus.io/scrape": "false"}),
        pod({"prometheus.io/scrape": "true"}),
        pod(SCRAPED, address=None),
        pod(SCRAPED, deletionTimestamp="2026-01-01T00:00:00Z"),
    ],
)
def test_any_other_is_not(other: Object) -> None:
    assert targets([other]) == []
