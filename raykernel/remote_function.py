"""`ray.remote_function`: the class of remote functions, where Ray has it."""

from raykernel.remote import RemoteFunction

__all__ = ["RemoteFunction"]
