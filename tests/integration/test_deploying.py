"""Deployments and automations on a real Prefect: what is made, what repeating or events change."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest

from components.contracts import DriftDecision, DriftReport, DriftState, ModelVersion
from components.monitoring.alerts.book import Alert, AlertStatus
from flows.config.deployments import (
    DeploymentsConfig,
    RetrainingOptions,
    WatchedModel,
    WorkPoolInput,
)
from flows.runtime.password import password
from flows.runtime.settings import Settings
from model_registry import Registry, sqlite_uri
from model_registry.store import open_store
from tests.conftest import COMMAND, clean_environment, prefect_server

MODELS = ("bolts", "nuts")


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """A storage root whose Prefect server is up and is this process's."""
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    root = tmp_path_factory.mktemp("deploying") / "home"
    settings = Settings(root, sqlite_uri(root / "mlflow" / "mlflow.db"), embedded_tracking=True)
    for name in MODELS:
        make_champion(name, settings)
    with prefect_server(root):
        url = json.loads((root / "prefect" / "server.json").read_text())["url"]
        secret = password(root / "prefect")
        with temporary_settings({PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: secret}):
            yield settings


def make_champion(name: str, settings: Settings) -> None:
    """Register a version by hand, as people do with MLflow alone."""
    from mlflow import MlflowClient

    Registry(settings.tracking_uri, settings.artifact_root).model_summaries()  # makes the database
    mlflow = MlflowClient(settings.tracking_uri)
    run = mlflow.create_run("0").info
    mlflow.create_registered_model(name)
    mlflow.create_model_version(name, f"{settings.artifact_root}/{name}", run.run_id)
    mlflow.set_registered_model_alias(name, "champion", "1")


@pytest.fixture(scope="module")
def client(settings):
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        yield client


def config(*names: str, **options: Any) -> DeploymentsConfig:
    models = [
        WatchedModel(name=name, images="s3://in", timezone="Europe/Zurich", **options)
        for name in names
    ]
    return DeploymentsConfig(models=models)


@pytest.fixture(scope="module")
def deployed(settings, client):
    from flows.deployment.deploy import deploy

    return deploy(config(*MODELS), settings)


@pytest.fixture
def serve(settings):
    """Start `python -m flows.deployment.serving` over the same models; kill it at the end."""
    folder = settings.root.parent
    listed = "".join(
        f"- {{name: {name}, images: 's3://in', timezone: Europe/Zurich}}\n" for name in MODELS
    )
    (folder / "foveal.yaml").write_text(f"models:\n{listed}")
    started = []

    def begin(url: str, **environment: str) -> subprocess.Popen[str]:
        ours = clean_environment(settings.root) | {"PREFECT_API_URL": url} | environment
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.deployment.serving"],
            cwd=folder,
            env=ours,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def changes(served) -> dict[str, str]:
    return {one.name: one.change.value for one in served.deployments} | {
        name: change.value for name, change in served.automations
    }


def wait_for(look: Callable[[], Any], seconds: float = 600) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.5)
    return found


def runs_of(client, deployment: UUID) -> list[Any]:
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId

    chosen = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment]))
    return client.read_flow_runs(flow_run_filter=chosen)


def parameters_of(client, deployment: UUID, **wanted: str) -> Callable[[], Any]:
    """The first run of a deployment with these values among its parameters."""
    return lambda: next(
        (
            run
            for run in runs_of(client, deployment)
            if wanted.items() <= run.parameters["config"].items()
        ),
        None,
    )


def announce(model: str, window: str, *, rule: str = "") -> None:
    """As a nightly run does; a drift, or an alert of a rule."""
    from prefect.events.worker import EventsWorker

    from flows.reporting import publish
    from flows.reporting.summary import Seen

    decision = DriftDecision(
        DriftState.DRIFT, ("brightness moved",), (), 80, 80, raised=True, fires=not rule
    )
    alerts = (
        (Alert(model, rule, AlertStatus.FIRING, "it dropped", datetime.now(UTC)),) if rule else ()
    )
    report = DriftReport(Path("report.html"), Path("report.json"), decision)
    publish.announce(ModelVersion(model, 1, "run"), window, Seen(report, (), alerts))
    EventsWorker.drain_all(timeout=10, at_exit=False)


def night(
    client,
    deployed,
    *,
    scheduled: bool = True,
    deployment: str = "nightly monitoring/nightly-bolts",
) -> Any:
    """A run of a nightly deployment, as the scheduler makes it."""
    tags = ["auto-scheduled"] if scheduled else []
    return client.create_flow_run_from_deployment(deployed.id_of(deployment), tags=tags)


def test_every_flow_has_a_deployment_with_a_form_a_limit_and_a_description(deployed, client):
    limits = {}
    for name in changes(deployed):
        if "/" in name:
            found = client.read_deployment_by_name(name)
            assert found.enforce_parameter_schema and "**Fill in**" in found.description
            assert found.entrypoint.startswith("flows.") and ":" not in found.entrypoint
            assert found.parameters["config"] and found.work_pool_name is None
            limit, options = found.global_concurrency_limit, found.concurrency_options
            limits[name] = (limit.limit, options.collision_strategy.value) if limit else None
    refuse, wait = (1, "CANCEL_NEW"), (1, "ENQUEUE")
    assert limits == {
        "release/release": wait,
        "nightly monitoring/nightly-bolts": refuse,
        "nightly monitoring/nightly-nuts": refuse,
        "retrain/retrain": wait,
        "batch inference/batch": None,
        "promotion/promotion": wait,
        "alert/alert": None,
    }


def test_a_night_is_scheduled_in_its_time_zone(deployed):
    (night,) = [one for one in deployed.deployments if one.name.endswith("nightly-bolts")]
    assert night.active and night.cron == "0 2 * * * Europe/Zurich"
    assert night.next_run.strftime("%H:%M %Z") in ("02:00 CET", "02:00 CEST", "03:00 CEST")
    assert timedelta() < night.next_run - datetime.now(UTC) <= timedelta(hours=25)


def test_a_second_time_changes_nothing_and_a_changed_file_only_what_it_is_about(deployed, settings):
    from flows.deployment.deploy import deploy

    assert set(changes(deployed).values()) <= {"created"}
    assert set(changes(deploy(config(*MODELS), settings)).values()) == {"unchanged"}
    calmer = RetrainingOptions(event_cooldown_hours=48)
    after = changes(deploy(config(*MODELS, retraining=calmer), settings))
    assert {name for name, change in after.items() if change != "unchanged"} == {
        f"foveal: {trigger} of {name} starts a retraining"
        for trigger in ("drift", "accuracy")
        for name in MODELS
    }
    assert "updated" in after.values()
    deploy(config(*MODELS), settings)


def test_a_schedule_and_an_automation_that_people_switched_off_stay_off_unless_the_file_says_so(
    deployed, settings, client
):
    from flows.deployment.deploy import deploy

    name = "nightly monitoring/nightly-bolts"
    found = client.read_deployment_by_name(name)
    client.update_deployment_schedule(found.id, found.schedules[0].id, active=False)
    automation = client.read_automations_by_name("foveal: drift of bolts starts a retraining")[0]
    client.pause_automation(automation.id)
    again = deploy(config(*MODELS, cron="30 3 * * *"), settings)
    assert changes(again)[name] == "updated"
    schedule = client.read_deployment_by_name(name).schedules[0]
    assert (schedule.schedule.cron, schedule.active) == ("30 3 * * *", False)
    assert not client.read_automation(automation.id).enabled
    deploy(config(*MODELS, active=True), settings)
    assert client.read_deployment_by_name(name).schedules[0].active
    client.resume_automation(automation.id)
    deploy(config(*MODELS), settings)


def test_the_nights_of_a_model_begin_with_its_first_release(deployed, settings, client):
    from flows.deployment.deploy import deploy
    from flows.tasks.schedules import WAITS, start_waiting

    name, three = "nightly monitoring/nightly-screws", config(*MODELS, "screws")
    first = deploy(three, settings)
    assert "screws has no champion yet: its schedules begin with its first release" in first.notes
    waiting = client.read_deployment_by_name(name)
    assert (WAITS in waiting.tags, waiting.schedules[0].active) == (True, False)
    assert set(changes(deploy(three, settings)).values()) == {"unchanged"}
    start_waiting.fn("screws")
    begun = client.read_deployment_by_name(name)
    assert (WAITS in begun.tags, begun.schedules[0].active) == (False, True)
    make_champion("screws", settings)
    after = deploy(three, settings)
    assert changes(after)[name] == "unchanged"
    assert any("screws/1" in note and "retrains nothing" in note for note in after.notes)
    deploy(config(*MODELS), settings)


def test_a_first_champion_that_people_promote_begins_its_nights(deployed, settings, client):
    from flows.deployment.deploy import deploy

    name, store = "nightly monitoring/nightly-rivets", open_store(settings.tracking_uri).client
    deploy(config(*MODELS, "rivets"), settings)
    store.create_registered_model("rivets")
    store.create_model_version("rivets", settings.root.as_uri(), await_creation_for=0)
    assert not client.read_deployment_by_name(name).schedules[0].active
    arguments = [COMMAND, "promote", "rivets/1"]
    done = subprocess.run(
        arguments, env=clean_environment(settings.root), capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert client.read_deployment_by_name(name).schedules[0].active
    deploy(config(*MODELS), settings)


def test_a_schedule_that_waited_begins_with_the_next_deployment_at_the_latest(
    deployed, settings, client
):
    from flows.deployment.deploy import deploy

    name, three = "nightly monitoring/nightly-washers", config(*MODELS, "washers")
    deploy(three, settings)
    assert not client.read_deployment_by_name(name).schedules[0].active
    make_champion("washers", settings)
    assert changes(deploy(three, settings))[name] == "updated"
    assert client.read_deployment_by_name(name).schedules[0].active
    deploy(config(*MODELS), settings)


def test_retrainings_are_scheduled_for_the_models_whose_file_says_when(deployed, settings, client):
    from flows.deployment.deploy import deploy

    weekly = config(*MODELS, retraining=RetrainingOptions(cron="0 4 * * sun", cooldown_hours=48))
    names = {f"retrain/scheduled-{name}" for name in MODELS}
    assert {
        name for name, change in changes(deploy(weekly, settings)).items() if change == "created"
    } == names
    found = client.read_deployment_by_name(f"retrain/scheduled-{MODELS[0]}")
    (schedule,), asked = found.schedules, found.parameters["config"]
    assert (schedule.schedule.cron, schedule.active) == ("0 4 * * sun", True)
    assert (asked["name"], asked["trigger"], asked["cooldown_hours"]) == (MODELS[0], "schedule", 48)
    client.update_deployment_schedule(found.id, schedule.id, active=False)
    assert set(changes(deploy(weekly, settings)).values()) == {"unchanged"}, (
        "what people paused stays paused"
    )
    after = changes(deploy(config(*MODELS), settings))
    assert {name for name, change in after.items() if change == "removed"} == names


def test_what_was_made_for_a_model_that_is_no_longer_watched_is_removed_and_nothing_else(
    deployed, settings, client
):
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

    from flows.deployment.deploy import deploy

    theirs = client.create_automation(
        AutomationCore(
            name="theirs", trigger=EventTrigger(posture=Posture.Reactive), actions=[], enabled=False
        )
    )
    removed = {
        k
        for k, change in changes(deploy(config(*MODELS, "screws"), settings)).items()
        if change == "created"
    }
    after = changes(deploy(config(*MODELS), settings))
    assert {name for name, change in after.items() if change == "removed"} == removed
    assert len(removed) == 4 and all("screws" in name for name in removed)
    assert client.read_automation(theirs) is not None


def test_the_form_takes_its_own_defaults_and_refuses_a_typo_and_a_value_out_of_range(
    deployed, client
):
    from prefect.exceptions import PrefectHTTPStatusError

    for one in deployed.deployments:
        run = client.create_flow_run_from_deployment(one.id)
        client.delete_flow_run(run.id)
    release = client.read_deployment_by_name("release/release")
    for change, words in (
        ({"targett": "mobile"}, "targett"),
        ({"benchmark": {"rounds": 1}}, "1 is less than"),
    ):
        with pytest.raises(PrefectHTTPStatusError, match="409") as refused:
            client.create_flow_run_from_deployment(
                release.id, parameters={"config": release.parameters["config"] | change}
            )
        assert words in refused.value.response.json()["detail"]


@pytest.mark.parametrize(("rule", "trigger"), [("", "drift"), ("accuracy_drop", "accuracy")])
def test_an_event_starts_one_retraining_with_its_parameters(deployed, client, rule, trigger):
    retrain = deployed.id_of("retrain/retrain")
    announce("nuts", f"{trigger} a", rule=rule)
    run = wait_for(parameters_of(client, retrain, name="nuts", trigger=trigger))
    assert run.state.is_scheduled() and len(run.parameters["config"]["event"]) == 36
    announce("nuts", f"{trigger} b", rule=rule)  # within the cooldown
    announce("nuts", f"{trigger} c", rule="error_rate")  # is no reason to retrain
    announce("bolts", f"{trigger} a", rule=rule)  # another model has a cooldown of its own
    wait_for(parameters_of(client, retrain, name="bolts", trigger=trigger))
    started = [run.parameters["config"] for run in runs_of(client, retrain)]
    assert sum(one["name"] == "nuts" and one["trigger"] == trigger for one in started) == 1


def test_a_failed_night_is_an_alert_that_names_the_model_and_the_reason(deployed, client):
    from prefect.states import Failed

    run = night(client, deployed, scheduled=False)
    client.set_flow_run_state(run.id, Failed(message="no such bucket"), force=True)
    told = wait_for(parameters_of(client, deployed.id_of("alert/alert"), subject="bolts"))
    assert told.parameters["config"]["rule"] == "nightly monitoring: Failed"
    assert told.parameters["config"]["reason"] == f"run {run.name}: no such bucket"


def test_a_night_that_finds_the_place_taken_is_an_alert_and_one_that_a_person_cancels_is_none(
    deployed, client
):
    from prefect.states import Cancelled, Pending

    holding, refused, by_hand = (night(client, deployed) for _ in range(3))
    client.set_flow_run_state(by_hand.id, Cancelled(message="not tonight"))
    client.set_flow_run_state(holding.id, Pending())
    client.set_flow_run_state(refused.id, Pending())
    assert client.read_flow_run(refused.id).state.is_cancelled()
    alert = deployed.id_of("alert/alert")
    told = wait_for(
        parameters_of(client, alert, subject="bolts", rule="nightly monitoring: Cancelled")
    )
    assert (
        told.parameters["config"]["reason"]
        == f"run {refused.name}: Deployment concurrency limit reached."
    )
    assert not any(
        by_hand.name in run.parameters["config"]["reason"] for run in runs_of(client, alert)
    )
    client.set_flow_run_state(holding.id, Cancelled(message="gives the place back"))


def test_a_night_that_has_not_completed_in_its_time_is_an_alert_and_one_that_has_is_none(
    deployed, client
):
    from prefect.states import Completed, Pending, Running

    from flows.deployment.automations import missing
    from flows.deployment.definitions import OURS

    model = config("nuts").models[0]
    ids = [deployed.id_of(name) for name in ("nightly monitoring/nightly-nuts", "alert/alert")]
    wanted = missing(model, *ids, timedelta(seconds=10))
    found = client.read_automations_by_name(wanted.name)[0]
    client.update_automation(found.id, wanted.model_copy(update={"tags": [OURS]}))
    done, hanging, by_hand = (
        night(client, deployed, scheduled=scheduled, deployment="nightly monitoring/nightly-nuts")
        for scheduled in (True, True, False)
    )
    for run in (done, hanging, by_hand):
        client.set_flow_run_state(run.id, Pending(), force=True)
        client.set_flow_run_state(run.id, Running(), force=True)
    client.set_flow_run_state(done.id, Completed(), force=True)
    told = wait_for(parameters_of(client, ids[1], rule="nightly monitoring: missing"))
    assert hanging.name in told.parameters["config"]["reason"]
    missed = [run.parameters["config"] for run in runs_of(client, ids[1])]
    assert sum(one["rule"] == "nightly monitoring: missing" for one in missed) == 1


def test_a_late_night_is_looked_at_again_at_its_own_deadline_and_missed_only_after_it(
    deployed, client
):
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
    from prefect.states import Completed, Scheduled

    from flows.alert import is_missed
    from flows.config.alert import AlertConfig, NightInput

    due = datetime(2027, 10, 31, 0, 0, tzinfo=UTC)  # 02:00 of summer in a night of 25 hours
    of_nuts = deployed.id_of("nightly monitoring/nightly-nuts")
    late, done = (
        client.create_flow_run_from_deployment(of_nuts, state=Scheduled(scheduled_time=due))
        for _ in range(2)
    )
    client.set_flow_run_state(done.id, Completed(), force=True)

    def look(run, moment):
        night = NightInput(
            run=run.id, cron="0 2 * * *", timezone="Europe/Zurich", deadline=clock(6)
        )
        config = AlertConfig(subject="nuts", rule="late", reason=run.name, night=night)
        return is_missed(client, config, night, moment)

    alert = deployed.id_of("alert/alert")
    assert not look(done, due + timedelta(hours=4))
    assert not any(run.parameters["config"]["rule"] == "late" for run in runs_of(client, alert))
    assert not look(late, due + timedelta(hours=4)), "06:00 is five hours after 02:00"
    (again,) = (run for run in runs_of(client, alert) if run.parameters["config"]["rule"] == "late")
    assert again.expected_start_time == due + timedelta(hours=5)
    assert look(late, due + timedelta(hours=5))
    for run in (late, done, again):
        client.delete_flow_run(run.id)
    assert (
        client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[again.id])))
        == []
    )


def test_a_work_pool_is_made_and_the_deployments_point_to_it_and_back(deployed, settings, client):
    from components.errors import ConfigError
    from flows.deployment.deploy import deploy

    pool = WorkPoolInput(
        name="gpus", type="docker", image="foveal:1", env={"FOVEAL_STORE": "s3://store"}
    )
    pooled = config(*MODELS).model_copy(update={"work_pool": pool})
    assert {one.pool for one in deploy(pooled, settings).deployments} == {"gpus"}
    assert client.read_work_pool("gpus").type == "docker"
    found = client.read_deployment_by_name("release/release")
    assert found.job_variables == {"image": "foveal:1", "env": {"FOVEAL_STORE": "s3://store"}}
    assert set(changes(deploy(pooled, settings)).values()) == {"unchanged"}
    other = pooled.model_copy(update={"work_pool": pool.model_copy(update={"type": "kubernetes"})})
    with pytest.raises(ConfigError, match="found type docker"):
        deploy(other, settings)
    assert {one.pool for one in deploy(config(*MODELS), settings).deployments} == {""}


def test_the_command_says_who_takes_the_runs(deployed, settings, client, serve):
    done = subprocess.run(
        [COMMAND, "deploy"],
        cwd=settings.root.parent,
        env=clean_environment(settings.root) | {"PREFECT_API_URL": str(client.api_url)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith(
        "nothing on this root takes the runs: start foveal up"
    )


def test_serving_waits_for_a_server_that_is_not_there_and_ends_when_told(settings, serve):
    process = serve("http://127.0.0.1:1/api")
    assert "waiting for Prefect's server" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=300) == 0


def test_what_is_served_runs_as_the_form_is_filled_and_alerts_reach_a_channel(
    deployed, settings, client, serve
):
    from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

    messages: queue.Queue[str] = queue.Queue()

    class Channel(BaseHTTPRequestHandler):
        def do_POST(self):
            messages.put(self.rfile.read(int(self.headers["content-length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Channel) as channel:
        threading.Thread(target=channel.serve_forever, daemon=True).start()
        process = serve(
            str(client.api_url), FOVEAL_ALERT_URLS=f"json://127.0.0.1:{channel.server_port}"
        )
        assert process.stdout.readline() == "serving\n", process.stderr.read()
        run = client.create_flow_run_from_deployment(deployed.id_of("alert/alert"))
        ended = wait_for(lambda: (found := client.read_flow_run(run.id)).state.is_final() and found)
        channel.shutdown()
    assert ended.state.is_completed(), ended.state.message
    told = [messages.get_nowait() for _ in range(messages.qsize())]
    assert any("started by hand to try the channels out" in message for message in told), told
    of_run = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id]))
    wait_for(
        lambda: any("ALERT bolts trial" in line.message for line in client.read_logs(of_run)),
        seconds=30,
    )
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=300) == 0
    assert client.read_deployment_by_name("nightly monitoring/nightly-bolts").schedules[0].active


def test_what_is_deployed_while_something_serves_is_served_too(deployed, settings, client, serve):
    from flows.deployment.deploy import deploy

    process = serve(str(client.api_url))
    assert process.stdout.readline() == "serving\n", process.stderr.read()
    client.delete_deployment(deployed.id_of("batch inference/batch"))
    made = deploy(config(*MODELS), settings).id_of("batch inference/batch")
    run = client.create_flow_run_from_deployment(made)
    wait_for(lambda: not client.read_flow_run(run.id).state.is_scheduled())


HASTY = """
import sys
from dataclasses import replace
from pathlib import Path
from flows.services.services import Places, services
from flows.runtime.settings import Settings
from flows.services.supervisor import RestartPolicy, all_of, printing, touching
from flows.services.up import supervise

settings = Settings.from_environment()
(one,) = [one for one in services(settings, Places()) if one.name == "deployments"]
one = replace(one, ready=all_of(printing("serving"), touching(settings.pulse, 6)))
supervise(
    [one], Path(sys.argv[1]),
    restart_policy=RestartPolicy(check_s=1, silence_s=6, first_wait_s=0.1),
    ready=lambda away: print("ready", flush=True), tell=lambda line: print(line, flush=True),
)
"""


def test_a_serving_process_that_hangs_is_started_again(deployed, settings, client, serve, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HASTY, tmp_path / "logs"],
        cwd=settings.root.parent,
        env=clean_environment(settings.root) | {"PREFECT_API_URL": str(client.api_url)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "ready\n"
        members = psutil.Process(process.pid).children(recursive=True)
        (serving,) = [
            one for one in members if one.cmdline()[1:] == ["-P", "-m", "flows.deployment.serving"]
        ]
        serving.suspend()
        assert process.stdout.readline().startswith(
            "deployments has not answered for 6 s; starting it again in 0.1 s"
        )
        assert not psutil.wait_procs([serving], timeout=120)[1]
    finally:
        process.terminate()
        process.communicate(timeout=300)


def test_without_a_file_every_form_is_filled_with_the_demo(settings):
    from flows.config.deployments import demo_deployments
    from flows.deployment.definitions import plan

    plans = {one.full_name: one for one in plan(demo_deployments(settings), settings)}
    assert "nightly monitoring/nightly" in plans
    assert plans["nightly monitoring/nightly"].config.images.endswith("night")
    assert plans["retrain/retrain"].config.data.labels_split == "night"
    assert plans["release/release"].config.model.path.exists()
