"""What jobs share: the run, its plan, the connection to Ray, logs and errors."""
