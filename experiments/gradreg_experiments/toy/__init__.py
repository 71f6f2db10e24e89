"""The paper's toy problem, trained for every λ and seed at once: the main job."""
