"""How to do it: the stages every runbook goes through, and the systems they touch."""
