"""Dantzig-Wolfe by layer: columns that are whole layers, their pricing, their master, assembly."""
