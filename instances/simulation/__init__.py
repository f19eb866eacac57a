"""Simulation: tokens walk through the layers under a placement, alone or queueing; caches too."""
