"""A/B tests of two versions: split, shadow, and their comparison."""
