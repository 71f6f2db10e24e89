"""Wrong and right implementations, and the kit's test on them."""
