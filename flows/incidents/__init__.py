"""What surrounds a runbook: giving back what it changed."""
