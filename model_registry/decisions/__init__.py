"""The decision record: promote, roll back, reject, and who was champion when."""
