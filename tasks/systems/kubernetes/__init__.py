"""Kubernetes through its official client: one module per resource."""
