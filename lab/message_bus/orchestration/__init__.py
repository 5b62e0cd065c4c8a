"""The orchestration service: turns events into tasks, queues them in Redis, works them off with a pool of workers."""
