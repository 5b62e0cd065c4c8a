"""One module per system that a task touches. These modules know no stage and no flow."""
