"""Reports of a flow for people: summaries, tables, links, run names and progress."""
