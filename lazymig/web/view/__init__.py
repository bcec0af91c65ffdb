"""What each panel of the page shows: plain text and numbers from a snapshot. Nothing here sends a statement."""
