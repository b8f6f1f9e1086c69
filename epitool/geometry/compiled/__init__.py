"""What numba compiles and several rooms use."""
