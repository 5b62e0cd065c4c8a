"""The connection to one namespace of one cluster."""

from __future__ import annotations

from functools import cached_property

from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException


class ClusterUnavailable(Exception):
    """There is no usable connection to the cluster."""


class Cluster:
    """One namespace of one cluster. Both are always explicit: 'whatever context is current' is never used.

    `context` empty means the service account of the pod that this process runs in. Every call has a timeout, and the
    client's own silent retries are off: retrying is the task's business.
    """

    def __init__(self, namespace: str, context: str = "", kubeconfig: str = "", timeout: float = 10.0) -> None:
        self.namespace = namespace
        self.context = context
        self.kubeconfig = kubeconfig
        self.timeout = timeout

    @cached_property
    def _api(self) -> client.ApiClient:
        configuration = client.Configuration()
        try:
            if self.context:
                config.load_kube_config(
                    config_file=self.kubeconfig or None, context=self.context, client_configuration=configuration
                )
            else:
                config.load_incluster_config(client_configuration=configuration)
        except (ConfigException, OSError) as error:
            where = f"context {self.context!r}" if self.context else "this pod's service account"
            raise ClusterUnavailable(f"cannot use {where}: {error}") from error
        configuration.retries = False
        return client.ApiClient(configuration)

    @cached_property
    def core(self) -> client.CoreV1Api:
        return client.CoreV1Api(self._api)

    @cached_property
    def apps(self) -> client.AppsV1Api:
        return client.AppsV1Api(self._api)

    @cached_property
    def autoscaling(self) -> client.AutoscalingV1Api:
        """autoscaling/v1: served by every cluster, and minimum and maximum are all that is needed."""
        return client.AutoscalingV1Api(self._api)

    @cached_property
    def policy(self) -> client.PolicyV1Api:
        return client.PolicyV1Api(self._api)

    @cached_property
    def authorization(self) -> client.AuthorizationV1Api:
        return client.AuthorizationV1Api(self._api)

    @cached_property
    def version(self) -> client.VersionApi:
        return client.VersionApi(self._api)

    @cached_property
    def apis(self) -> client.ApisApi:
        return client.ApisApi(self._api)

    @cached_property
    def custom(self) -> client.CustomObjectsApi:
        return client.CustomObjectsApi(self._api)


def preload() -> None:
    """Imports what the client itself only imports at first use, its APIs and models: seconds of computing, for which no
    incident should wait."""
    for model in dir(client.models):
        getattr(client.models, model)
    for api in vars(Cluster).values():
        if isinstance(api, cached_property):
            getattr(client, api.func.__annotations__["return"].removeprefix("client."))
