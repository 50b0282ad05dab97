"""Small widgets and helpers that the tabs share."""
