"""What the collections of a migration are: looked at before they are used, judged, and refused in words."""
