"""Loopback addresses for pods, one each, from the node's subnet."""

from __future__ import annotations

import ipaddress


class AddressPool:
    """Hands out the addresses of a subnet in turn; one that was given back is used again last."""

    def __init__(self, subnet: ipaddress.IPv4Network) -> None:
        self._free = [str(address) for address in subnet.hosts()][1:]

    def take(self) -> str:
        """Raises LookupError when none is left."""
        if not self._free:
            raise LookupError("no pod address is left in the node's subnet")
        return self._free.pop(0)

    def give_back(self, address: str) -> None:
        self._free.append(address)


def pod_subnet(text: str) -> ipaddress.IPv4Network:
    """Reads `127.A.B.0/24`. Raises ValueError for what is not a loopback network."""
    subnet = ipaddress.IPv4Network(text)
    if not subnet.is_loopback or subnet.prefixlen > 29:
        raise ValueError(f"{text} is not a loopback network with room for pods")
    return subnet
