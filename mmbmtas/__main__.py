"""``python -m mmbmtas``: the command ``mmbmtas``."""

from mmbmtas.command_line import main

if __name__ == '__main__':
    main()
