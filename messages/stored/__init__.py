"""What the log holds for ever. Kinds and optional fields are added, none is edited."""
