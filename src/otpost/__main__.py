"""`python -m otpost` is the command line."""

from otpost.cli import main

main()
