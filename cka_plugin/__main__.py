"""`python -m cka_plugin`: the command `cka-plugin`."""

from cka_plugin.cli.main import main

if __name__ == "__main__":
    main()
