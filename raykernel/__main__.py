"""`python -m raykernel`: the command line, for whoever's PATH doesn't know it."""

from raykernel.cli import main

raise SystemExit(main())
