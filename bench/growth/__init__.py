"""How time and memory grow with rows, experts, servers and users: ``python -m bench.growth``."""
