"""The storage root and what runs on it: settings, locks, passwords, processes, embedded Prefect."""
