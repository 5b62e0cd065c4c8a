"""The small parts that everything rests on: quantities, selectors, durations, names, request paths, protobuf."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.kubernetes import quantities, timestamps
from lab.kubernetes.apiserver import protobuf
from lab.kubernetes.apiserver.durations import human_duration
from lab.kubernetes.apiserver.identifiers import label_errors, name_errors
from lab.kubernetes.apiserver.request_info import RequestInfo
from lab.kubernetes.kubelet.addresses import AddressPool, pod_subnet
from lab.kubernetes.kubelet.containers import BackOff
from lab.kubernetes.kubelet.environment import expand
from lab.kubernetes.selectors import FieldSelector, LabelSelector, SelectorError


@pytest.mark.parametrize(
    ("text", "value", "canonical"),
    [
        ("0.5", "0.5", "500m"),
        ("500m", "0.5", "500m"),
        ("1000m", "1", "1"),
        ("1024Ki", "1048576", "1Mi"),
        ("1e3", "1000", "1k"),
        ("128974848", "128974848", "128974848"),
        ("123M", "123000000", "123M"),
        ("12500000n", "0.0125", "12500u"),
        ("0", "0", "0"),
        (2, "2", "2"),
        ("1.5Gi", "1610612736", "1536Mi"),
    ],
)
def test_quantities(text: str | int, value: str, canonical: str) -> None:
    assert quantities.parse(text) == Decimal(value)
    assert quantities.canonical(text) == canonical


@pytest.mark.parametrize("text", ["", "1x", "Mi", "1 Mi", "--1", "1.2.3"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match"):
        quantities.parse(text)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**12), st.sampled_from(["", "m", "k", "M", "Ki", "Mi", "Gi"]))
def test_the_canonical_form_keeps_the_value(number: int, suffix: str) -> None:
    text = f"{number}{suffix}"
    assert quantities.parse(quantities.canonical(text)) == quantities.parse(text)


LABELS = {"app": "web", "tier": "front"}


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,tier=front", True),
        ("app=web,tier=back", False),
        ("app!=web", False),
        ("other!=x", True),
        ("app in (web, api)", True),
        ("app notin (web),tier", False),
        ("tier", True),
        ("!tier", False),
        ("!canary, app in (web)", True),
    ],
)
def test_label_selectors(selector: str, matches: bool) -> None:
    parsed = LabelSelector.parse(selector)
    assert parsed.matches_labels(LABELS) is matches
    assert LabelSelector.parse(str(parsed)).matches_labels(LABELS) is matches


@pytest.mark.parametrize("selector", ["a in b", "a=b=c", "=b", "a in (b", ",,"])
def test_what_is_no_label_selector(selector: str) -> None:
    with pytest.raises(SelectorError):
        LabelSelector.parse(selector)


def test_structured_selectors() -> None:
    expression = {"key": "tier", "operator": "In", "values": ["front", "back"]}
    selector = LabelSelector.of({"matchLabels": {"app": "web"}, "matchExpressions": [expression]})
    assert selector.matches_labels(LABELS)
    assert str(selector) == "app=web,tier in (back,front)"


def test_field_selectors() -> None:
    pod = {"metadata": {"name": "a"}, "status": {"phase": "Running"}, "spec": {"hostNetwork": True}}
    assert FieldSelector.parse("status.phase=Running,metadata.name!=b,spec.hostNetwork=true").matches(pod)
    assert not FieldSelector.parse("spec.nodeName!=").matches(pod)
    with pytest.raises(SelectorError):
        FieldSelector.parse("status.phase")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (119, "119s"),
        (125, "2m5s"),
        (600, "10m"),
        (7260, "121m"),
        (10800, "3h"),
        (12000, "3h20m"),
        (180000, "2d2h"),
    ],
)
def test_ages_are_shown_as_kubectl_does(seconds: int, shown: str) -> None:
    assert human_duration(seconds) == shown


def test_timestamps() -> None:
    for text in (timestamps.seconds(), timestamps.micros(), timestamps.nanos()):
        assert -1 < timestamps.age(text) < 5
    assert timestamps.parse("2024-01-15T03:00:00.123456789Z").microsecond == 123456


@pytest.mark.parametrize(
    ("kind", "name", "good"),
    [
        ("ConfigMap", "a.b-c", True),
        ("ConfigMap", "A", False),
        ("ConfigMap", "a\n", False),
        ("ConfigMap", "a" * 254, False),
        ("Namespace", "a.b", False),
        ("Service", "1a", False),
    ],
)
def test_names(kind: str, name: str, good: bool) -> None:
    assert (not name_errors(kind, name)) is good


def test_labels() -> None:
    assert not label_errors({"example.com/app": "web", "empty": ""}, "metadata.labels")
    assert len(label_errors({"-bad": "fine", "fine": "not fine"}, "metadata.labels")) == 2


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/api/v1/namespaces/x/pods", {}, RequestInfo("", "list", "", "v1", "pods", "", "x", "")),
        ("GET", "/api/v1/pods", {"watch": "1"}, RequestInfo("", "watch", "", "v1", "pods", "", "", "")),
        ("DELETE", "/api/v1/namespaces/x", {}, RequestInfo("", "delete", "", "v1", "namespaces", "", "x", "x")),
        (
            "PATCH",
            "/api/v1/namespaces/x/status",
            {},
            RequestInfo("", "patch", "", "v1", "namespaces", "status", "x", "x"),
        ),
        (
            "PATCH",
            "/apis/apps/v1/namespaces/x/deployments/web/scale",
            {},
            RequestInfo("", "patch", "apps", "v1", "deployments", "scale", "x", "web"),
        ),
        ("DELETE", "/api/v1/namespaces/x/pods", {}, RequestInfo("", "deletecollection", "", "v1", "pods", "", "x", "")),
        ("GET", "/version", {}, RequestInfo("", "get")),
    ],
)
def test_request_paths(method: str, path: str, query: dict[str, str], expected: RequestInfo) -> None:
    info = RequestInfo.parse(method, path, query)
    assert info == RequestInfo(**{**expected.__dict__, "path": path})


def test_protobuf_of_a_config_map() -> None:
    metadata = b"\x0a\x03cfg\x1a\x02ns"
    entry = b"\x0a\x01a\x12\x02bc"
    message = b"\x0a" + bytes([len(metadata)]) + metadata + b"\x12" + bytes([len(entry)]) + entry
    kind = b"\x0a\x02v1\x12\x09ConfigMap"
    body = b"k8s\x00\x0a" + bytes([len(kind)]) + kind + b"\x12" + bytes([len(message)]) + message
    expected = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "cfg", "namespace": "ns"},
        "data": {"a": "bc"},
    }
    assert protobuf.decode(body) == expected
    with pytest.raises(ValueError, match="truncated"):
        protobuf.decode(body[:-1])
    with pytest.raises(ValueError, match="not accepted as protobuf"):
        protobuf.decode(body.replace(b"ConfigMap", b"Something"))


def test_references_in_commands() -> None:
    assert expand("$(A)-$(B)-$$(A)-$A", {"A": "1"}) == "1-$(B)-$(A)-$A"


def test_pod_addresses() -> None:
    pool = AddressPool(pod_subnet("127.9.9.0/29"))
    taken = [pool.take() for _ in range(5)]
    assert taken == [f"127.9.9.{number}" for number in range(2, 7)]
    with pytest.raises(LookupError):
        pool.take()
    pool.give_back("127.9.9.4")
    assert pool.take() == "127.9.9.4"
    with pytest.raises(ValueError, match="not a loopback network"):
        pod_subnet("10.0.0.0/24")


def test_back_off() -> None:
    assert [BackOff(10).before(failures) for failures in range(8)] == [0, 10, 20, 40, 80, 160, 300, 300]
