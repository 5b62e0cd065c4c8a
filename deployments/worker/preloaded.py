"""What the template of this installation does besides its imports, when it imports this: then no child has to.

It takes seconds, which a command or a test that only wants to know the flows does not pay.
"""

from __future__ import annotations

from tasks.systems.kubernetes.client import preload
from tasks.systems.tls import trusted

preload()
trusted()
