"""What leaves by itself: alerts and events, from the log to NATS."""
