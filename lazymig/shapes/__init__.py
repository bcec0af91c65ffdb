"""The user's classes, their stored form, and the conversions between them."""
