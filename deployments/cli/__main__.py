"""`python -m deployments.cli`, where the `runbooks` script is not installed."""

from deployments.cli.main import main

main()
