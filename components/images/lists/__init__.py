"""Lists of images as tables, with columns of the caller's own."""
