"""What changes into what: the user's classes, their stored form, and the conversions between them."""
