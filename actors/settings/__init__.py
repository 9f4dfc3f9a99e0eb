"""What an operator sets: the environment, the connection to NATS, personal fields, the log."""
