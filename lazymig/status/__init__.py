"""How far a migration is: looked up once, in words and as an object, for the command line, the page and the report."""
