"""HTTP in and out: one file per endpoint, named after its metadata field."""
