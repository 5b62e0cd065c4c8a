"""The doctor: tells before the first incident what will not work, with the command or setting that mends it.

A module per subject: its kinds of findings, the reading, and the judgement, which is pure. Nothing is changed anywhere;
people are told something only when that is asked for.
"""

from deployments.doctor.examination import Wishes, examine
from deployments.doctor.finding import Finding, Health

__all__ = ["Finding", "Health", "Wishes", "examine"]
