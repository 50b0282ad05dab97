"""The resident process that serves requests, its protocol and its client."""
