"""The storage root and what runs over it: settings, locks, passwords, processes and the embedded Prefect server."""
