"""`python -m kxchange` is `kx`."""

from kxchange.cli import main

main()
