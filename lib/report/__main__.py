"""`python -m lib.report RUN` renders reports/RUN/index.html."""

from lib.report.site import main

if __name__ == "__main__":
    main()
