"""The NATS side: dispatch, replies, publications, discovery, the embedded server."""
