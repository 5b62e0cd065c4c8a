"""The orchestration service's own administration: its tasks, who waits for whom, and cancelling."""
