"""Live views of a session. Each is a Python model with its JavaScript module beside it."""
