"""What moeplace is compared with: other tools on the same instance, with the same result checked.

    python -m bench.peers [--only NAME ...] [--json FILE]

prints one table of ratios. Each module is one comparison; :mod:`bench.peers.race` times both sides
in turn, and raises when their results differ.
"""
