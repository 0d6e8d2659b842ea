"""What sets things in motion: the plan that compares what is with what should be, the sensor and the pass that act on it."""
