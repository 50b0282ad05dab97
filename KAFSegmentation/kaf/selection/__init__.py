"""Which cases to label first: what an embedding covers, and what a network is least sure of."""
