"""Components as reusable Prefect tasks, one file a theme, cached by content where worth it."""
