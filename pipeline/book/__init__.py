"""What a params.yaml says: entries, options, names, checks, fingerprints of code; no service, no arrays."""
