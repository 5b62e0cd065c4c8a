"""Whatever happens, and however it is interleaved, no harm is done, and in the end all is given back."""

from __future__ import annotations

from tests.properties.conftest import chosen, profile
from tests.properties.machine import Life

TestLife = Life.TestCase
TestLife.settings = chosen(profile().lives, profile().steps)
