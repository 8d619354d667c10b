"""`python -m retouch` is `retouch`."""
from retouch.cli.main import main

if __name__ == '__main__':
    raise SystemExit(main())
