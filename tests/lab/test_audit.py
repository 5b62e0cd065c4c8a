"""Reading the audit log."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from lab.audit import read_audit_logs

EVENT = {
    "kind": "Event",
    "apiVersion": "audit.k8s.io/v1",
    "level": "Request",
    "auditID": "1",
    "stage": "ResponseComplete",
    "verb": "patch",
    "user": {"username": "runbooks", "groups": ["operators"]},
    "userAgent": "kubectl/v1.32",
    "objectRef": {
        "resource": "deployments",
        "subresource": "scale",
        "namespace": "message-bus",
        "name": "orchestration",
    },
    "responseStatus": {"code": 200},
    "requestObject": {"spec": {"replicas": 5}},
    "requestReceivedTimestamp": "2026-01-02T03:04:05.678901Z",
}


def test_a_record_has_what_a_judge_needs(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_text(json.dumps(EVENT) + "\n")
    (record,) = read_audit_logs(log)
    assert (record.user, record.user_agent, record.verb, record.code) == ("runbooks", "kubectl/v1.32", "patch", 200)
    assert (record.resource, record.subresource) == ("deployments", "scale")
    assert (record.namespace, record.name) == ("message-bus", "orchestration")
    assert record.body == {"spec": {"replicas": 5}}
    assert record.time.isoformat() == "2026-01-02T03:04:05.678901+00:00"
    assert not record.by_component
    assert record.accepted


def test_what_the_request_does_not_name_is_empty(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    user, answer = {"username": "system:node:ground"}, {"code": 404}
    log.write_text(
        json.dumps(EVENT | {"objectRef": {}, "requestObject": None, "user": user, "responseStatus": answer}) + "\n"
    )
    (record,) = read_audit_logs(log)
    assert (record.resource, record.name, record.body) == ("", "", None)
    assert record.by_component
    assert not record.accepted


def test_a_line_that_is_being_written_is_left_for_later(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    assert read_audit_logs(log) == []
    log.write_text(json.dumps(EVENT) + "\n" + json.dumps(EVENT)[:50])
    assert len(read_audit_logs(log)) == 1


def test_several_logs_are_one_story(tmp_path: Path) -> None:
    cluster, service = tmp_path / "cluster.log", tmp_path / "service.log"
    first, second, third = (
        EVENT | {"auditID": str(number), "requestReceivedTimestamp": f"2026-01-02T03:04:0{number}Z"}
        for number in (1, 2, 3)
    )
    cluster.write_text("".join(json.dumps(event) + "\n" for event in (first, third)))
    service.write_text(json.dumps(second) + "\n")
    assert [record.time.second for record in read_audit_logs(cluster, service)] == [1, 2, 3]
    since = datetime(2026, 1, 2, 3, 4, 2, tzinfo=UTC)
    assert [record.time.second for record in read_audit_logs(cluster, service, since=since)] == [2, 3]


def test_a_request_counts_once_and_without_an_answer_too(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    received = {name: value for name, value in EVENT.items() if name != "responseStatus"} | {"stage": "RequestReceived"}
    log.write_text("".join(json.dumps(event) + "\n" for event in (received, EVENT, received | {"auditID": "2"})))
    assert [record.code for record in read_audit_logs(log)] == [200, 0]
