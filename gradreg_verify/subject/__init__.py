"""What is judged: a backend, or one function with the declaration of what it computes."""
