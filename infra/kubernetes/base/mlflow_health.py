"""Tell whether MLflow's server works: it answers, and its database knows no stranger as a user.

Its own /health answers while the database is away. Exit codes: 0 healthy, 1 not.
"""

from __future__ import annotations

import base64
import sys
import urllib.error
import urllib.request

PATH = "/api/2.0/mlflow/registered-models/search?max_results=1"
STRANGER = base64.b64encode(b"nobody:").decode()


def answer(server: str) -> int:
    """Ask for models as an unknown user: 401 comes from a look into the database of users."""
    request = urllib.request.Request(server + PATH, headers={"Authorization": f"Basic {STRANGER}"})  # noqa: S310 - ours
    try:
        with urllib.request.urlopen(request, timeout=8) as reply:  # noqa: S310 - our own server
            return int(reply.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code


if __name__ == "__main__":
    sys.exit(answer(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:5000") != 401)
