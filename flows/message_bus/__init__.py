"""The message bus and its orchestration runtime on Kubernetes."""
