"""raykernel's local engine: head, zygote, workers and the client that talks to them.

Nothing in here imports IPython, ipykernel or the widgets.
"""
