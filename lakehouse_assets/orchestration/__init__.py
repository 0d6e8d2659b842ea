"""What sets runs in motion: sensors, jobs, the pass of the command line, the Dagster instance and its history."""
