"""Known vulnerabilities of all that constraints.txt pins, by pip-audit and the data of osv.dev.

Exit codes: 0 none known, 1 some found, 75 not audited because the data cannot be reached from here.
"""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

DATA = "https://api.osv.dev"
PINNED = Path(__file__).parents[1] / "constraints.txt"
NOT_AUDITED = 75  # EX_TEMPFAIL of sysexits.h: nothing was found out, another time it may be


def main() -> int:
    """Audit, or say in words why not."""
    try:
        urllib.request.urlopen(DATA, timeout=10).close()
    except urllib.error.HTTPError:
        pass  # an answer, if not a page
    except OSError as error:
        reason = getattr(error, "reason", error)
        sys.stdout.write(
            f"not audited: the vulnerability data at {DATA} cannot be reached from here "
            f"({reason})\n"
        )
        return NOT_AUDITED
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--vulnerability-service",
        "osv",
        "--disable-pip",
        "--no-deps",
    ]
    return subprocess.run([*command, "--requirement", PINNED], check=False).returncode  # noqa: S603 - our own command


if __name__ == "__main__":
    sys.exit(main())
