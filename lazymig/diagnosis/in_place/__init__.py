"""The diagnosis of one collection whose documents carry both shapes."""
