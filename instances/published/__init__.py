"""Published instances of related problems: placement problems with one server and one layer."""
