"""Benchmarks: how quick it is, beside the alternative in the same run. They are measurements, not tests."""
