"""Scheduled health checks."""
