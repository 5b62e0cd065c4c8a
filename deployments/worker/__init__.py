"""The worker: starts each run in a warm child that was forked in advance, and answers for its end.

    worker     asks the Prefect server for runs that are due, claims them, hands each to a spare child
    template   a process of its own that has imported everything once; it forks children, and does nothing else
    child      one process, one run

`docs/worker.md` says what happens when one of them dies.
"""
