"""JAX behind the protocol, and networks of the reference as functions."""

from gradreg_verify.frameworks.jax.convert import to_jax

__all__ = ["to_jax"]
