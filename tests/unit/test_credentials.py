"""Secrets in URLs are seen and kept out of what is told."""

from __future__ import annotations

import pickle
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.credentials import has_credentials, has_secrets, redact
from components.errors import RegistryError

SECRETS = [
    "https://anna:hush@host/shots",
    "s3://AKIA:hu/sh+x=@bucket/shots",
    "ftp://hush@host",
    "postgresql://foveal:hush@db:5432/mlflow",
    "mailto://anna:hush@mail.host?to=b",
    "https://us'er:pa'hush@host/shots",
    'https://u"s:hush"hush@host/shots',
    "https://us er:hush hush@host/shots",
    "https://anna:hush\u00a0hush@host/shots",
    "https://anna:123/4hush@host/shots",
    "s3://hush:12/3@bucket",
    "https://anna:p@hush@host",
    "https://anna@hush@host/a@b.jpg",
]
PLAIN = [
    "s3://bucket/shots",
    "http://127.0.0.1:4200/api",
    "http://host:8080/@anna/shots",
    "models:/digits@champion",
    "sqlite:////srv/mlflow.db",
    "shots/a@b.jpg",
    "https://host/shots?page=2",
    "https://host/a@b.jpg",
    "s3://bucket/x@2x.png",
    "http://host:8080/a@b.jpg",
    "http://nas.local:8080/cam@2/shots",
    "http://[::1]:8080/a@b.jpg",
    "https://host/token=1/code=2/a.jpg?country_code=DE&encoding=utf-8#top",
]


@pytest.mark.parametrize("url", SECRETS)
def test_a_secret_before_the_host_is_seen_and_hidden(url):
    assert has_credentials(url)
    told = redact(f"cannot open '{url}' now")
    assert "hush" not in told and "hu/sh" not in told
    assert not has_credentials(redact(url).replace("…@", ""))


@pytest.mark.parametrize("url", PLAIN)
def test_a_url_without_secrets_stays_as_it_is(url):
    assert not has_credentials(url)
    assert redact(url) == url


@pytest.mark.parametrize(
    "text",
    [
        "no answer from https://host:8080 for anna@mail.host",
        "https://host: no answer (see /tmp/a@b)",
        "from 'https://host', or anna@mail.host",
    ],
)
def test_a_sentence_about_a_url_stays_as_it_is(text):
    assert redact(text) == text


@pytest.mark.parametrize("part", ["a", "a://", "a://" + ":" * 200, "?a", "a://:1/a@"])
def test_a_text_that_is_eight_times_as_long_takes_no_longer_than_a_linear_search(part):
    def seconds(text):
        started = time.process_time()
        redact(text)
        return time.process_time() - started

    short = part * (50_000 // len(part))
    once, eight = (min(seconds(text) for _ in range(3)) for text in (short, short * 8))
    assert eight < 32 * max(once, 1e-4), "a quadratic one takes 64 times as long"


@pytest.mark.parametrize(
    "text",
    [
        "https://host/a.jpg?token=hush&page=2",
        "https://host/a.jpg?page=2&access_token=hu'hush",
        "https://host/a.jpg?X-Amz-Credential=hush%2F20261127&X-Amz-Security-Token=hush",
        "https://host/a.jpg?AWSAccessKeyId=hush&Signature=hush",
        "https://host/a.jpg?sv=2024&sig=hush%2B",
        "https://host/a.jpg?api-key=hush&apikey=hush&pwd=hush",
        "https://host/eyJhbGciOiJIUzI1NiJ9.eyJodXNoIjoiaHVzaCJ9.hush/a.jpg",
        "https://host/a.jpg?%74oken=hush&tok%65n=hush&token[]=hush&a%5Btoken%5D=hush",
        "https://host/a.jpg?code=hush&sas=hush;bearer=hush&passphrase=hush&pw=hush",
        'https://host/a.jpg#access_token=hush\u00a0hush&token=hu"hush',
        "https://host/a.jpg?who=AKIAHUSHHUSHHUSHHUSH",
        "https://host/a.jpg?who=ghp_hushhushhushhushhush",
    ],
)
def test_secrets_are_known_by_the_name_of_the_parameter_and_by_their_shape(text):
    assert has_secrets(text)
    for told in (redact(text), redact(f"no answer from '{text}', or {text}; try again")):
        assert "hush" not in told.lower()
    assert redact(text).startswith("https://host/")


def test_the_values_of_secret_parameters_are_hidden():
    url = "https://host/a.jpg?X-Amz-Signature=hush&page=2&sig=hush"
    assert redact(url) == "https://host/a.jpg?X-Amz-Signature=…&page=2&sig=…"


words = st.text(
    st.characters(codec="ascii", categories=("L", "N", "P", "S"), exclude_characters="'\"@:"),
    min_size=1,
)


@pytest.mark.slow
@given(user=words, password=words, host=st.from_regex(r"[a-z]{1,10}", fullmatch=True))
def test_whatever_the_password_is_it_is_hidden(user, password, host):
    user, password = user.replace("/", ""), f"x{password}"
    assert redact(f"s3://{user}:{password}@{host}/shots") == f"s3://…@{host}/shots"


def test_an_error_never_holds_a_password_not_even_pickled():
    error = RegistryError(
        "a server", found="nobody at http://anna:hush@host", hint="ask http://anna:hush@host"
    )
    assert "hush" not in str(error) and b"hush" not in pickle.dumps(error)
    assert "hush" not in str(pickle.loads(pickle.dumps(error)))  # noqa: S301 - made here
