"""Self-supervised methods, one file each; what they share is in ``base``, ``contrast`` and ``align``."""
