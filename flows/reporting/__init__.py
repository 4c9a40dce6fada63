"""What a flow tells people: summaries, tables, links, run names and progress."""
