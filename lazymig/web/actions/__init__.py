"""What a page changes, and who may. Each action shows what would happen, asks, and leaves an entry in the history."""
