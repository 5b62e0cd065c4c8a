"""Questions about oneself: `kubectl auth can-i` and `kubectl auth whoami`."""

from __future__ import annotations

from lab.kubernetes.apiserver import auth
from lab.kubernetes.apiserver.auth import User
from lab.kubernetes.apiserver.errors import ApiError
from lab.kubernetes.apiserver.request_info import RequestInfo
from lab.kubernetes.objects import Object


def access_review(user: User, review: Object) -> Object:
    """SelfSubjectAccessReview: may I do this?"""
    spec = review.get("spec") or {}
    asked = spec.get("resourceAttributes")
    if asked is not None:
        resource, _, subresource = str(asked.get("resource", "")).partition("/")
        subresource = asked.get("subresource") or subresource
        allowed = auth.may(user, asked.get("verb", ""), asked.get("group", ""), resource, subresource)
    else:
        path = spec.get("nonResourceAttributes") or {}
        allowed = _may_path(user, path.get("path", ""), path.get("verb", ""))
    return {**review, "status": {"allowed": allowed}}


def rules_review(user: User, review: Object) -> Object:
    """SelfSubjectRulesReview: what may I do?"""
    rules = [rule.document() for rule in auth.rules_of(user)]
    return {**review, "status": {"resourceRules": rules, "nonResourceRules": [], "incomplete": False}}


def self_review(user: User, review: Object) -> Object:
    """SelfSubjectReview: who am I?"""
    return {**review, "status": {"userInfo": user.info()}}


def _may_path(user: User, path: str, verb: str) -> bool:
    try:
        auth.authorize(user, RequestInfo(path, verb))
    except ApiError:
        return False
    return True
