"""`ray.types`: what annotations name, where Ray has it."""

from raykernel.refs import ObjectRef

__all__ = ["ObjectRef"]
