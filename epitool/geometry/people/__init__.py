"""Which person: candidates in every view, followed through time, matched between views."""
