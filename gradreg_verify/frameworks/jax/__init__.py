"""JAX behind the protocol, and networks of the reference as functions and back."""

from gradreg_verify.frameworks.jax.convert import from_jax, to_jax

__all__ = ["from_jax", "to_jax"]
