"""How it runs: alert intake, deployments and their triggers, alert rules, the command line, the demo."""
