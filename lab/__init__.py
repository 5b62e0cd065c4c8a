"""A practice ground: live platforms of real processes that can be broken and healed.

The lab is a stranger that happens to be broken. It imports nothing of the product, and it cannot tell who acted on it:
the same change by `kubectl` heals it equally.
"""
