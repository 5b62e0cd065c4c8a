"""The alert intake: Alertmanager's webhook in, incidents and Prefect events out."""
