"""What of the workspace may go into a prompt."""
