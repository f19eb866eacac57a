"""What a placement problem is, what a placement is, and how both are checked."""
