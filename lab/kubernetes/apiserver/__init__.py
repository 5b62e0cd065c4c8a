"""The API server: REST, watch, validation, authorization and audit over one revisioned store."""
