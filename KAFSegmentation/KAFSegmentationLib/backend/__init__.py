"""The worker process, the models and the devices, as the panels use them."""
