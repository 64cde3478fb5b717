"""The Python side of the worker protocol: claim, run in a child process, checkpoint, complete."""
