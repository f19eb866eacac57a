"""What the mathematics gives for free: clauses, layer tables, max-plus convolution."""
