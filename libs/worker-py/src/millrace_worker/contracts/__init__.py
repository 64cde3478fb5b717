"""Messages and error codes, generated from libs/contracts."""
