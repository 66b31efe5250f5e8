"""`python -m lib.judge.fit_embedded` fits the embedded judge again from the published data."""

from lib.judge.embedded.fit import main

if __name__ == "__main__":
    main()
