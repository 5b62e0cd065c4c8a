"""Whatever happens, and however it is interleaved, no harm is done, and in the end all is given back."""

from __future__ import annotations

from hypothesis.stateful import run_state_machine_as_test

from tests.properties.conftest import chosen, in_parts, profile
from tests.properties.machine import Life


@in_parts
def test_life(part: int) -> None:
    run_state_machine_as_test(Life, settings=chosen(profile().lives, profile().steps))
