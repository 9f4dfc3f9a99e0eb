"""What a user is shown of what was counted."""
