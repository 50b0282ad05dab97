"""One frozen settings object per verb.  No torch."""
