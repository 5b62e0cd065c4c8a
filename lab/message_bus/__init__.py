"""The message bus platform: publishers, an event queue in Redis, and the orchestration service that works it off."""
