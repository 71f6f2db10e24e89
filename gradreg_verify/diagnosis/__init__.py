"""What an implementation computes instead, and the smallest network that shows it."""
