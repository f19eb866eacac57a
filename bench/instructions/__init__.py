"""Kernels one by one: recorded calls of each, for timings and for counts of instructions."""
