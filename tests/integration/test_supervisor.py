"""Services under a supervisor, as real processes: health, order, restarts, never leftovers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from components.errors import UnavailableError
from flows.runtime.processes import answers, free_port
from flows.services.supervisor import RestartPolicy

PYTHON = sys.executable
PREAMBLE = """
import sys
from pathlib import Path
from flows.services.supervisor import RestartPolicy, Service, at, printing
from flows.services.up import supervise

PYTHON = sys.executable
def web(name, port, **more):
    command = (PYTHON, "-m", "http.server", str(port), "--bind", "127.0.0.1")
    return Service(name, command, at(f"http://127.0.0.1:{port}"), **more)

def run(*services, **restart_policy):
    supervise(
        services, Path("logs"),
        restart_policy=RestartPolicy(**{"first_wait_s": 0.1, **restart_policy}),
        ready=lambda away: print("ready", *away, flush=True),
        tell=lambda line: print(line, flush=True),
    )
"""
ENDING = """
import pathlib, signal, sys, time
def end(*_):
    with open("ended", "a") as file: file.write(sys.argv[1] + " ")
    sys.exit()
signal.signal(signal.SIGTERM, end)
print("serving", flush=True)
time.sleep(600)
"""
# A server whose parent is gone and that has a session of its own: as far away from the supervisor
# as can be.
FLED = "(setsid {python} -m http.server {port} --bind 127.0.0.1 &) ; echo serving; sleep 600"


@pytest.fixture
def supervised(tmp_path):
    """Run a supervisor as a process, ``supervised("run(...)")``; return it, output by lines."""
    begun = []

    def begin(script: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [PYTHON, "-c", PREAMBLE + script],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        return process

    yield begin
    for process in begun:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=300)


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def left(processes: list[psutil.Process], within_s: float = 20) -> list[psutil.Process]:
    return psutil.wait_procs(processes, timeout=within_s)[1]


def eventually(found, within_s: float = 30) -> bool:
    deadline = time.monotonic() + within_s
    while not found() and time.monotonic() < deadline:
        time.sleep(0.05)
    return bool(found())


def test_services_start_in_the_order_of_their_needs_and_ready_means_that_each_is_healthy(
    supervised,
):
    port = free_port()
    slow = (
        f"import time, runpy, sys; time.sleep(1); sys.argv[1:] = ['{port}']; "
        "runpy.run_module('http.server')"
    )
    slow = slow.replace(
        "run_module('http.server')", "run_module('http.server', run_name='__main__')"
    )
    asks = (
        f"import urllib.request as r, time; r.urlopen('http://127.0.0.1:{port}'); "
        "print('serving', flush=1)"
    )
    process = supervised(
        f"run(Service('slow', (PYTHON, '-c', {slow!r}), at('http://127.0.0.1:{port}')),"
        f"    Service('asks', (PYTHON, '-c', {asks + '; time.sleep(600)'!r}), printing('serving'), "
        "needs=('slow',)))"
    )
    assert process.stdout.readline() == "ready\n"  # no line of a restart before it
    assert urllib.request.urlopen(f"http://127.0.0.1:{port}").status == 200


def test_a_service_whose_head_dies_is_started_again_and_its_orphans_do_not_keep_the_port(
    supervised, tmp_path
):
    port = free_port()
    shell = f"{PYTHON} -m http.server {port} --bind 127.0.0.1 & wait"
    process = supervised(
        f"run(Service('web', ('sh', '-c', {shell!r}), at('http://127.0.0.1:{port}')))"
    )
    assert process.stdout.readline() == "ready\n"
    (head,) = [member for member in family(process) if member.name() == "sh"]
    head.kill()
    assert (
        process.stdout.readline()
        == "web ended with code 137; starting it again in 0.1 s (1 of 5)\n"
    )
    assert not left([head])
    assert eventually(lambda: answers(f"http://127.0.0.1:{port}"))
    assert (tmp_path / "logs" / "web.1.log").exists()
    assert process.poll() is None


def test_a_service_whose_guard_is_killed_is_started_again(supervised):
    port = free_port()
    process = supervised(f"run(web('web', {port}))")
    assert process.stdout.readline() == "ready\n"
    guard, server = family(process)
    guard.kill()
    assert process.stdout.readline().startswith("web ended with code -9; starting it again")
    assert not left([server])
    assert process.stdout.readline() == "web is healthy again\n"
    assert answers(f"http://127.0.0.1:{port}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_all_services_in_reverse_order_and_nothing_is_left(
    supervised, tmp_path, number
):
    port = free_port()
    fled = FLED.format(python=PYTHON, port=port)
    process = supervised(
        "ending = lambda name, *needs: "
        f"Service(name, (PYTHON, '-c', {ENDING!r}, name), printing('serving'), needs=needs)\n"
        "run(ending('first'), ending('second', 'first'), ending('third', 'second'),"
        f"    Service('fled', ('sh', '-c', {fled!r}), at('http://127.0.0.1:{port}')))"
    )
    assert process.stdout.readline() == "ready\n"
    members = family(process)
    # guards; the endings; a shell, its sleep, the server that fled
    assert len(members) == 4 + 3 + 3
    process.send_signal(number)
    assert process.wait(timeout=300) == 0
    assert (tmp_path / "ended").read_text() == "third second first "
    assert not left(members, within_s=0)


def test_a_service_that_does_not_want_to_end_is_killed_within_the_grace(supervised):
    deaf = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('serving', flush=True); "
        "time.sleep(600)"
    )
    process = supervised(
        f"run(*[Service(name, (PYTHON, '-c', {deaf!r}), printing('serving')) for name in 'abc'], "
        "    grace_s=600, stop_s=1)"
    )
    assert process.stdout.readline() == "ready\n"
    members = family(process)
    process.terminate()
    assert process.wait(timeout=400) == 0  # not the 600 s of even one of them
    assert not left(members, within_s=0)


def test_a_supervisor_that_is_killed_leaves_no_orphan(supervised):
    ports = free_port(), free_port()
    fled = FLED.format(python=PYTHON, port=ports[1])
    process = supervised(
        f"run(web('web', {ports[0]}), Service('fled', ('sh', '-c', {fled!r}), "
        f"at('http://127.0.0.1:{ports[1]}')))"
    )
    assert process.stdout.readline() == "ready\n"
    members = family(process)
    assert len(members) == 2 + 1 + 3
    process.kill()
    assert not left(members)


def test_a_service_that_keeps_dying_ends_everything_with_the_last_lines_of_its_log(
    supervised, tmp_path
):
    port = free_port()
    dies = "print('so far so good'); raise SystemExit('no such database')"
    process = supervised(
        f"run(web('web', {port}), Service('dies', (PYTHON, '-c', {dies!r}), printing('serving')), "
        "tries=2)"
    )
    told, error = process.communicate(timeout=300)
    assert told.splitlines() == [
        "dies ended with code 1 (no such database); starting it again in 0.1 s (1 of 2)",
        "dies ended with code 1 (no such database); starting it again in 0.2 s (2 of 2)",
    ]
    assert (
        "UnavailableError: expected dies to keep running" not in told
        and "no such database" in error
    )
    assert "after 2 restarts" in error and "so far so good" in error and "dies.log" in error
    assert not answers(f"http://127.0.0.1:{port}")


def test_a_service_that_the_rest_works_without_is_tried_on_when_it_keeps_dying(
    supervised, tmp_path
):
    port = free_port()
    works = tmp_path / "works"
    dies = f"from pathlib import Path; Path({str(works)!r}).exists() or exit('no disk'); "
    dies += "import time; print('serving', flush=True); time.sleep(600)"
    process = supervised(
        f"run(web('web', {port}), Service('dies', (PYTHON, '-c', {dies!r}), printing('serving'), "
        "vital=False),"
        "    tries=1, longest_wait_s=0.2)"
    )
    assert [process.stdout.readline() for _ in range(3)] == [
        "dies ended with code 1 (no disk); starting it again in 0.1 s (1 of 1)\n",
        "dies ended with code 1 (no disk), after 1 restart; the rest goes on, and it is tried "
        "every 0.2 s\n",
        "ready dies\n",
    ]
    assert answers(f"http://127.0.0.1:{port}")
    works.touch()
    assert process.stdout.readline() == "dies is healthy again\n"


def test_metrics_are_up_while_the_store_and_the_registry_hang(supervised, tmp_path):
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = supervised(
            "from flows.services.services import Optional, Places, services\n"
            "from flows.runtime.settings import Settings\n"
            f"listed = services(Settings.from_environment(), Places(metrics={port}),"
            "    without=set(Optional) - {'metrics'})\n"
            "run(*[one for one in listed if one.name == 'metrics'], check_s=0.1, silence_s=3)",
            **dict.fromkeys(("AWS_ENDPOINT_URL", "MLFLOW_TRACKING_URI"), url),
            **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "anna"),
            FOVEAL_HOME=str(tmp_path / "home"),
            FOVEAL_STORE="s3://store",
        )
        assert process.stdout.readline() == "ready\n"
        members = family(process)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            told = answer.read().decode()
        assert (
            'foveal_source_up{source="store"} 0.0' in told
            and 'foveal_source_up{source="registry"} 0.0' in told
        )
        # although an answer took longer than a service may be silent
        assert family(process) == members


def test_a_service_that_never_answers_counts_as_dead(supervised):
    process = supervised(
        f"run(Service('mute', ('sleep', '600'), at('http://127.0.0.1:{free_port()}')), "
        "startup_s=0.5, tries=1)"
    )
    told, error = process.communicate(timeout=300)
    assert (
        told
        == "mute was not healthy after 0 s (nothing in its log); starting it again in 0.1 s (1 of "
        "1)\n"
    )
    assert "nothing in its log" in error


def test_a_service_that_hangs_is_started_again(supervised):
    port = free_port()
    process = supervised(f"run(web('web', {port}), check_s=0.1, silence_s=1, grace_s=1)")
    assert process.stdout.readline() == "ready\n"
    _, server = family(process)
    server.suspend()
    assert (
        process.stdout.readline()
        == "web has not answered for 1 s; starting it again in 0.1 s (1 of 5)\n"
    )
    assert not left([server])
    assert process.stdout.readline() == "web is healthy again\n"
    assert answers(f"http://127.0.0.1:{port}")


def test_restarts_wait_longer_each_time_up_to_a_bound():
    restart_policy = RestartPolicy(first_wait_s=1, longest_wait_s=30, tries=10)
    waits = [restart_policy.wait_s(deaths) for deaths in (1, 2, 3, 6, 7, 10_000)]
    assert waits == [1, 2, 4, 30, 30, 30]
    assert RestartPolicy(first_wait_s=1, longest_wait_s=30, tries=2).wait_s(3) == 30


def test_the_failure_is_one_that_a_user_can_mend(tmp_path):
    from threading import Event

    from flows.services.supervisor import Service, Supervisor, printing

    supervisor = Supervisor(
        [Service("dies", ("false",), printing("x"))],
        tmp_path,
        restart_policy=RestartPolicy(tries=0),
        tell=lambda line: None,
    )
    with pytest.raises(
        UnavailableError, match="expected dies to keep running, found that it ended with code 1"
    ):
        supervisor.start(Event())
    supervisor.stop()
