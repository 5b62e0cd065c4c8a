"""What to do: one package per platform, one module per runbook."""
