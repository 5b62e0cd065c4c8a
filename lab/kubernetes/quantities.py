"""Resource quantities (`500m`, `128Mi`, `1e3`): parsing and the canonical form the API stores.

The grammar is that of `k8s.io/apimachinery/pkg/api/resource`.
"""

from __future__ import annotations

import re
from decimal import ROUND_UP, Decimal

_SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}
_QUANTITY = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)$")


def parse(quantity: str | int | float) -> Decimal:
    """The value in base units (cores, bytes). Raises ValueError for what is not a quantity."""
    match = _QUANTITY.match(str(quantity).strip())
    if match is None:
        raise ValueError(
            f"quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$': {quantity!r}"
        )
    number, exponent, suffix = match.groups()
    return Decimal(number + (exponent or "")) * _SUFFIXES[suffix or ""]


def canonical(quantity: str | int | float) -> str:
    """The shortest form with no fraction, keeping binary or decimal suffixes as written (`0.5` is `500m`)."""
    text, value = str(quantity).strip(), parse(quantity)
    if value == 0:
        return "0"
    if text.endswith("i"):
        return _largest(value, [f"{suffix}i" for suffix in "EPTGMK"] + ["", "m"])
    return _largest(value, ["E", "P", "T", "G", "M", "k", "", "m", "u", "n"])


def nanocores(cores: Decimal | float) -> str:
    """CPU as nanocores, the unit of the metrics API, for example `12500000n`."""
    return f"{int(Decimal(cores) * 1_000_000_000)}n"


def _largest(value: Decimal, suffixes: list[str]) -> str:
    for suffix in suffixes:
        scaled = value / _SUFFIXES[suffix]
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}{suffix}"
    finest = suffixes[-1]
    return f"{int((value / _SUFFIXES[finest]).to_integral_value(ROUND_UP))}{finest}"
