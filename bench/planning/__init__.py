"""What ``moeplace plan`` works out and shows: a placement for one's own boxes, and its worth."""
