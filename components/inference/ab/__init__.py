"""Two versions in the place of one: split, shadow, and what they are compared by."""
