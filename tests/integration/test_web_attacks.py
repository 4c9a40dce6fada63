"""A web page, a rebound name, another local user: each step towards running code here is refused.

The same steps are played with plain HTTP, and by a page in a real browser. What people use goes on
working.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from benchmarks.browser import browsing, chromium
from benchmarks.ui import Up, ask, up
from flows.runtime.password import password_file, proof
from tests.conftest import clean_environment

pytestmark = pytest.mark.timeout(900)  # the fixture waits for five services on a busy machine
READ = {
    "prefect": "/api/admin/version",
    "mlflow": "/version",
    "evidently": "/api/projects",
    "metrics": "/metrics",
}
WRITE = {
    "prefect": ("/api/flows/", {"name": "from-a-page"}),
    "mlflow": ("/api/2.0/mlflow/registered-models/create", {"name": "theirs"}),
    "evidently": ("/api/projects", {"name": "theirs"}),
    "metrics": ("/metrics", {}),
}
needs_browser = pytest.mark.skipif(
    chromium() is None, reason="needs Chromium: apt-get install chromium"
)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("attacks") / "home"


@pytest.fixture(scope="module")
def servers(root) -> Iterator[Up]:
    folder = root.parent
    for package in ("flows", "components", "foveal", "model_registry"):
        # as in others' projects; never imported
        (folder / package).mkdir()
        (folder / package / "__init__.py").write_text(
            f"open({str(folder / 'shadowed')!r}, 'a').write({package!r})"
        )
    (folder / "foveal.yaml").write_text("models: [{name: parts, images: in, release: parts.yaml}]")
    (folder / "parts.yaml").write_text(
        "name: parts\nmodel: {path: parts.onnx}\ndata: {labelled: data.yaml}\n"
    )
    with up(root) as running:
        yield running


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=60) as client:
        yield client


def headers_of(servers: Up) -> dict[str, str]:
    return proof(servers.environment["PREFECT_API_AUTH_STRING"])


def wait_for(look: Callable[[], Any], seconds: float = 180) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.5)
    return found


def foreign(netloc: str) -> dict[str, dict[str, str]]:
    """Headers that browsers send for pages of others, by what the page did."""
    host, port = netloc.split(":")
    none = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    return {
        "a rebound name": {"Host": f"rebound.example:{port}"},
        "a rebound name that looks like its own origin": {
            "Host": f"rebound.example:{port}",
            "Origin": f"http://rebound.example:{port}",
            "Sec-Fetch-Site": "same-origin",
        },
        "another port's name": {"Host": f"{host}:{int(port) + 1}"},
        "another site": {"Origin": "https://elsewhere.example"},
        "a sandboxed frame": {"Origin": "null"},
        "another server of this machine": {"Origin": f"http://{host}:{int(port) + 1}"},
        "TLS in front of it": {"Origin": f"https://{host}"},
        "an image or a script": none | {"Sec-Fetch-Dest": "image"},
        "a frame": {
            "Sec-Fetch-Site": "cross-site",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "iframe",
        },
    }


@pytest.mark.parametrize("name", READ)
def test_every_server_refuses_what_others_pages_send_and_takes_what_programs_and_its_own_pages_do(
    servers, http, name
):
    address, (path, body) = servers[name], WRITE[name]
    secret = headers_of(servers)
    for what, headers in foreign(urlsplit(address).netloc).items():
        read = http.get(address + READ[name], headers=headers | secret)
        assert read.status_code == 403, (what, read.text)
        assert not [header for header in read.headers if header.startswith("access-control")], what
        for kind in ("application/json", "text/plain"):  # the latter is sent without asking first
            sent = headers | secret | {"Content-Type": kind}
            wrote = http.post(address + path, content=json.dumps(body), headers=sent)
            assert wrote.status_code == 403, (what, kind, wrote.text)
        asked = {"Access-Control-Request-Method": "POST"}
        assert http.options(address + path, headers=headers | asked).status_code == 403, what
    opened = {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }
    own = {"Origin": address, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
    by_name = {"Host": urlsplit(address).netloc.replace("127.0.0.1", "localhost")}
    for headers in ({}, own, opened, by_name):
        answer = http.get(address + READ[name], headers=headers | secret)
        assert answer.status_code == 200, (headers, answer.text)
    assert http.post(address + path, json=body, headers=opened | secret).status_code == 403


def test_without_the_password_prefect_shows_nothing_and_takes_nothing(servers, root, http):
    """As another user of this machine sees it, who needs no browser."""
    assert (
        password_file(root / "prefect").stat().st_mode & 0o777,
        root.stat().st_mode & 0o777,
    ) == (0o600, 0o700)
    api = servers.environment["PREFECT_API_URL"]
    for headers in ({}, proof("foveal:guessed"), {"Authorization": "Basic x"}):
        for path, body in (
            ("deployments/filter", {}),
            ("flow_runs/filter", {}),
            ("flows/", {"name": "x"}),
            ("work_pools/", {"name": "x", "type": "process"}),
            ("block_types/filter", {}),
            ("automations/filter", {}),
        ):
            assert http.post(f"{api}/{path}", json=body, headers=headers).status_code == 401
    assert "FOVEAL" not in http.get(f"{servers['prefect']}/ui-settings").text.upper()


@pytest.mark.parametrize("path", ["events/in", "events/out", "logs/out"])
def test_websockets_ask_for_the_origin_and_the_password(servers, path):
    url = f"{servers.environment['PREFECT_API_URL'].replace('http', 'ws', 1)}/{path}"

    async def greet(origin: str | None, token: str, **headers: str) -> Any:
        async with connect(
            url,
            origin=origin,
            subprotocols=["prefect"],
            additional_headers=headers,
            open_timeout=60,
        ) as socket:
            await socket.send(json.dumps({"type": "auth", "token": token}))
            return json.loads(await socket.recv())

    secret = servers.environment["PREFECT_API_AUTH_STRING"]
    for origin, host in (
        ("https://elsewhere.example", None),
        ("null", None),
        (None, "rebound.example:4200"),
    ):
        with pytest.raises(InvalidStatus, match="403"):
            asyncio.run(greet(origin, secret, **({"Host": host} if host else {})))
    for token in ("", "foveal:guessed"):
        with pytest.raises(ConnectionClosed):
            asyncio.run(greet(None, token))
    for origin in (None, servers["prefect"]):
        assert asyncio.run(greet(origin, secret)) == {"type": "auth_success"}


def test_with_the_password_still_no_deployment_makes_the_serving_process_run_what_is_not_ours(
    servers, root, http
):
    """The attack's deployment, and one of ours with pull steps changed after it was taken up."""
    api, headers, marker = (
        servers.environment["PREFECT_API_URL"],
        headers_of(servers),
        root.parent / "ran",
    )
    steps = [{"prefect.deployments.steps.run_shell_script": {"script": f"touch {marker}"}}]

    def call(method: str, path: str, body: Any) -> Any:
        while (
            answer := http.request(method, f"{api}/{path}", json=body, headers=headers)
        ).status_code == 503:
            time.sleep(0.5)  # SQLite has another writer; Prefect's clients ask again, too
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    flow = call("POST", "flows/", {"name": "theirs"})["id"]
    theirs = {"name": "theirs", "flow_id": flow, "tags": ["made-by-foveal"], "pull_steps": steps}
    (ours,) = call("POST", "deployments/filter", {"deployments": {"name": {"any_": ["alert"]}}})
    changed = call("POST", "deployments/", {**theirs, "entrypoint": ours["entrypoint"]})["id"]
    call("PATCH", f"deployments/{ours['id']}", {"pull_steps": steps})
    runs = [
        call("POST", f"deployments/{one}/create_flow_run", {})["id"]
        for one in (changed, ours["id"])
    ]
    log = root / "logs" / "deployments.log"
    wait_for(lambda: changed in log.read_text() and ours["id"] in log.read_text())
    assert "has our tag, but is not as foveal deploy makes it in its pull_steps" in log.read_text()
    time.sleep(5)  # two looks for runs
    assert call("GET", f"flow_runs/{runs[0]}", None)["state_type"] == "SCHEDULED"
    assert not marker.exists()

    environment = clean_environment(root) | dict(servers.environment)
    command = [Path(sys.executable).with_name("foveal"), "deploy", "--json"]
    done = subprocess.run(
        command, cwd=root.parent, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    states = {one["name"]: one["state"] for one in json.loads(done.stdout)["deployments"]}
    assert (states["alert/alert"], states["theirs/theirs"]) == ("updated", "removed")
    assert call("GET", f"deployments/{ours['id']}", None)["pull_steps"] == []
    wait_for(lambda: call("GET", f"flow_runs/{runs[1]}", None)["state_type"] == "COMPLETED")
    assert not marker.exists()
    assert not (root.parent / "shadowed").exists(), (
        "a package of the working directory was taken for ours"
    )


EMIT = """
from prefect.client.orchestration import get_client
from prefect.events import emit_event

emit_event("foveal.trial", resource={"prefect.resource.id": "foveal.trial"})
with get_client(sync_client=True) as client:
    print(sorted(one.name for one in client.read_deployments()))
"""


def test_a_shell_with_the_printed_environment_reads_and_emits_events_and_automations_are_there(
    servers, root
):
    environment = clean_environment(root) | dict(servers.environment)
    done = subprocess.run(
        [sys.executable, "-c", EMIT], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "'alert', 'batch', 'nightly', 'promotion', 'release', 'retrain'" in done.stdout
    wait_for(
        lambda: ask(servers, "events/filter", {"filter": {"event": {"name": ["foveal.trial"]}}})[
            "events"
        ]
    )
    assert ask(servers, "automations/filter", {})


def answering(folder: Path) -> ThreadingHTTPServer:
    """The server of the attacker's pages."""
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


ATTACK = """<!doctype html><script>
async function attack(targets, secret) {
  const told = {};
  for (const [name, read, write, body] of targets) {
    const sent = {method: 'POST', body: JSON.stringify(body)};
    const json = {'Content-Type': 'application/json', 'Authorization': secret};
    for (const [what, path, options] of [
      ['read', read, {}], ['read with the password', read, {headers: {'Authorization': secret}}],
      ['write', write, {...sent, headers: json}],
      ['simple write', write, {...sent, mode: 'no-cors'}],
    ]) {
      try {
        const answer = await fetch(path, options);
        told[name + ' ' + what] = answer.status + ' ' + answer.type;
      } catch (error) { told[name + ' ' + what] = 'failed'; }
    }
    told[name + ' frame'] = await new Promise(done => {
      const frame = document.createElement('iframe');
      frame.onload = () => {
        try { done(frame.contentDocument.body.innerText.slice(0, 60)); } catch { done('failed'); }
      };
      frame.src = read; document.body.append(frame);
    });
  }
  told.socket = await new Promise(done => {
    const events = targets[0][1].replace('http', 'ws').replace('admin/version', 'events/in');
    const socket = new WebSocket(events, 'prefect');
    socket.onopen = () => done('open'); socket.onerror = () => done('failed');
  });
  return told;
}
</script><body>"""


@needs_browser
def test_a_page_in_a_browser_gets_nothing_from_any_server_rebound_or_not(servers, http, tmp_path):
    (tmp_path / "page.html").write_text(ATTACK)
    page_server = answering(tmp_path)
    secret, names = headers_of(servers)["Authorization"], tuple(READ)
    targets = [
        [name, servers[name] + READ[name], servers[name] + WRITE[name][0], WRITE[name][1]]
        for name in names
    ]
    rebound = json.loads(json.dumps(targets).replace("127.0.0.1", "rebound.example"))
    with browsing("--host-resolver-rules=MAP *.example 127.0.0.1") as page:
        for host in ("attacker.example", "127.0.0.1"):
            # another site, and another server of this machine
            page.goto(f"http://{host}:{page_server.server_port}/page.html")
            for chosen in (targets, rebound):
                told = page.evaluate(
                    "([targets, secret]) => attack(targets, secret)", [chosen, secret]
                )
                assert set(told.values()) <= {"failed", "0 opaque"}, told
        for name, read, *_ in rebound:
            # the name points at us now, so that the page is of one origin with the server
            assert page.goto(read).status == 403
            assert (
                page.evaluate(
                    "path => fetch(path).then(answer => answer.status)", urlsplit(read).path
                )
                == 403
            ), name
    page_server.shutdown()
    page_server.server_close()
    assert not [one for one in ask(servers, "flows/filter", {}) if one["name"] == "from-a-page"]
    found = http.get(f"{servers['mlflow']}/api/2.0/mlflow/registered-models/search").json()
    assert found.get("registered_models", []) == []
    assert http.get(f"{servers['evidently']}/api/projects").json() == []


@needs_browser
def test_the_printed_links_work_in_an_empty_profile_and_ask_no_other_host(servers):
    asked: set[str] = set()
    shown = {"prefect": "6 Deployments", "mlflow": "Registered Models", "evidently": "Project"}
    for name, text in shown.items():
        with browsing() as page:
            page.on(
                "request", lambda request: asked.add(urlsplit(request.url).hostname or "127.0.0.1")
            )
            page.goto(servers.pages[name])
            page.get_by_text(text).first.wait_for()
            if name == "mlflow":
                assert page.get_by_text(
                    "Model registry"
                ).first.is_visible()  # not hidden, as in the pages for LLMs
            if name == "prefect":
                secret = servers.environment["PREFECT_API_AUTH_STRING"]
                assert secret not in page.url
                page.get_by_role("link", name="promotion", exact=True).first.click()
                page.get_by_role("button", name="Run", exact=True).click()
                page.get_by_text("Custom run").click()
                page.get_by_text("Validate parameters").wait_for()
                # its own pages of the next generation ask a foreign host
                page.goto(f"{servers['prefect']}/v2")
                page.get_by_text("Dashboard").first.wait_for()
    assert asked == {"127.0.0.1"}


@needs_browser
def test_the_login_of_prefects_pages_takes_the_password_and_opens_the_pages_by_any_name(servers):
    secret = servers.environment["PREFECT_API_AUTH_STRING"]
    with browsing() as page:
        page.goto(servers["prefect"].replace("127.0.0.1", "localhost"))
        page.get_by_placeholder("admin:pass").fill(secret)
        page.get_by_role("button", name="Login").click()
        page.get_by_text("Flow Runs").first.wait_for()
        assert "/v2" not in page.url
