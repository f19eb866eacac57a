"""The placements of each layer that can be part of an optimum, and their sums over the layers."""
