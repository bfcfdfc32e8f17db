"""The command line: each command a thin shell over the library."""
