"""The words that all modules share: incidents, evidence, changes, decisions, criteria, outcomes.

Everything here is a frozen value or a protocol; nothing here does I/O or knows Prefect.
"""
