"""What is wrong with this machine, its servers or its storage, and how to mend it; one file for each kind of check."""
