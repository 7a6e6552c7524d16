"""`python -m netsre` is the same command as `netsre`."""

from netsre.cli.main import main

if __name__ == "__main__":
    main()
