"""The pages, asked of the application in this process, over a real catalog."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi.testclient import TestClient

from tests.catalog.examples import record
from tracker import catalog
from tracker.catalog import Engine
from tracker.server.app import create_app
from tracker.server.viewer import Viewer
from tracker.server.wording import one_line

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "{{ 7 * 7 }}{% raw %}",
    "</title></code></pre>'\"&amp;",
    "javascript:alert(1)",
    "../../etc/passwd?x#y",
    "\u202egnitfel\u2066 \N{SNOWMAN} \N{GRINNING FACE} \u0301",
    "long" * 62 + "é!",
]


@pytest.fixture
def client(engine: Engine) -> TestClient:
    """Asks as a browser does."""
    app = create_app("sqlite:///mlflow.db", engine, allowed_hosts=["testserver"])
    return TestClient(app, headers={"Accept": "text/html,application/xhtml+xml"})


def put_runs(engine: Engine, losses: dict[str, list[float]], **more: Any) -> None:
    """Enter runs with the given losses, an epoch each."""
    records = []
    for run, values in losses.items():
        for epoch, loss in enumerate(values):
            given = {"id": f"m-{run}-{epoch}", "run_id": run, "metrics": {"val_loss": loss}}
            when = {"created_at": 1_700_000_000_000 + len(records)}
            records.append(record(epoch, **{**given, **when, **more}))
    catalog.put_all(engine, records)


class Page(HTMLParser):
    """What a browser would make of a page: its elements, and its text."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(answer.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def links(self) -> list[str]:
        return [str(each["href"]) for each in self.all("a") if "href" in each]


def drawing(answer: httpx.Response) -> Any:
    """The JSON that the curves are drawn from."""
    found = re.search(r'id="chart-data">(.*?)</script>', answer.text)
    assert found is not None
    return json.loads(found[1])


def rows(answer: httpx.Response) -> list[str]:
    """The ids of the checkpoints in the table, in order."""
    body = answer.text.partition("<tbody>")[2].partition("</tbody>")[0]
    return re.findall(r'<th scope="row"><a href="/checkpoints/([^"]+)"', body)


def test_an_empty_catalog_says_how_to_log_the_first_checkpoint(client: TestClient) -> None:
    answer = client.get("/")

    assert answer.status_code == 200
    assert "No checkpoint is here yet" in answer.text
    assert "tracker.log_checkpoint(model" in answer.text


def test_experiments_are_listed_with_what_is_in_them_and_the_best(
    client: TestClient, engine: Engine
) -> None:
    put_runs(engine, {"run-a": [0.5, 0.25], "run-b": [0.75]})

    page = Page(client.get("/"))

    assert "1 experiment, 3 checkpoints" in page.text
    assert "/experiments/7" in page.links
    assert "/checkpoints/m-run-a-1" in page.links
    assert "0.25" in page.text


def test_an_experiment_shows_its_runs_as_curves_the_best_run_first(
    client: TestClient, engine: Engine
) -> None:
    put_runs(engine, {"run-a": [0.5, 0.25, 0.4], "run-b": [0.75, 0.1]})

    answer = client.get("/experiments/7")
    drawn = drawing(answer)

    assert drawn["best"] == "m-run-b-1"
    assert [(curve["run"], curve["x"], curve["y"]) for curve in drawn["curves"]] == [
        ("run-b", [0, 1], [0.75, 0.1]),
        ("run-a", [0, 1, 2], [0.5, 0.25, 0.4]),
    ]
    assert "tracker.best_checkpoint(&#34;val_loss&#34;, experiment=&#34;digits&#34;)" in answer.text
    assert rows(answer)[0] == "m-run-b-1"  # the newest


def test_a_metric_that_nothing_has_is_told_and_another_is_shown(
    client: TestClient, engine: Engine
) -> None:
    put_runs(engine, {"run-a": [0.5]})

    answer = client.get("/experiments/7", params={"metric": "val_los"})

    assert "Did you mean 'val_loss'?" in Page(answer).text
    assert drawing(answer)["metric"] == "val_loss"


def test_a_filter_restricts_the_curves_and_the_table_alike(
    client: TestClient, engine: Engine
) -> None:
    put_runs(engine, {"run-a": [0.5, 0.25], "run-b": [0.75, 0.1]})

    answer = client.get("/experiments/7", params={"filter": "metrics.val_loss > 0.2 AND epoch = 1"})

    assert [curve["id"] for curve in drawing(answer)["curves"]] == [["m-run-a-1"]]
    assert rows(answer) == ["m-run-a-1"]
    assert "1 checkpoint matches the filter" in Page(answer).text


def test_a_filter_that_cant_be_read_is_told_at_its_place_and_nothing_is_lost(
    client: TestClient, engine: Engine
) -> None:
    put_runs(engine, {"run-a": [0.5]})
    wrong = 'metrics.val_loss < AND "'

    answer = client.get("/experiments/7", params={"filter": wrong, "scale": "log"})
    page = Page(answer)
    (field,) = (each for each in page.all("input") if each.get("name") == "filter")

    assert answer.status_code == 200
    assert field["value"] == wrong
    assert field["aria-invalid"] == "true"
    assert field["aria-describedby"] == "filter-error"
    assert f"  {wrong}\n                     ^" in page.text
    assert rows(answer) == ["m-run-a-0"]


def test_where_nothing_matches_near_names_are_suggested(client: TestClient, engine: Engine) -> None:
    put_runs(engine, {"run-a": [0.5]})

    page = Page(client.get("/experiments/7", params={"filter": "metrics.val_los > 0"}))

    assert "Did you mean 'val_loss'?" in page.text
    assert "Show all 1 checkpoint" in page.text


def test_the_table_is_sorted_by_any_column_and_back(client: TestClient, engine: Engine) -> None:
    put_runs(engine, {"run-a": [0.5, 0.25, 0.4]})

    answer = client.get("/experiments/7", params={"order": "metrics.val_loss ASC"})
    (header,) = (each for each in Page(answer).all("th") if "aria-sort" in each)
    back = client.get("/experiments/7?metric=val_loss&order=metrics.val_loss+DESC")

    assert rows(answer) == ["m-run-a-1", "m-run-a-2", "m-run-a-0"]
    assert header["aria-sort"] == "ascending"
    assert "?order=metrics.val_loss+DESC" in Page(answer).links
    assert rows(back) == rows(answer)[::-1]


def test_an_order_that_cant_be_read_is_told(client: TestClient, engine: Engine) -> None:
    put_runs(engine, {"run-a": [0.5]})

    answer = client.get("/experiments/7", params={"order": "metrics.val_loss; DROP TABLE x"})

    assert answer.status_code == 200
    assert "This can&#39;t be searched for" in answer.text
    assert rows(answer) == ["m-run-a-0"]


def test_many_checkpoints_come_in_pages(client: TestClient, engine: Engine) -> None:
    put_runs(engine, {"run-a": [1 / (1 + epoch) for epoch in range(120)]})

    first, last = client.get("/experiments/7"), client.get("/experiments/7?offset=100")

    assert len(rows(first)) == 50
    assert "?offset=50" in Page(first).links
    assert len(rows(last)) == 20
    assert "101 to 120 of 120" in Page(last).text
    assert len(drawing(last)["curves"][0]["x"]) == 120


def test_a_page_past_the_end_leads_to_the_first(client: TestClient, engine: Engine) -> None:
    put_runs(engine, {"run-a": [0.5]})

    page = Page(client.get("/experiments/7?filter=epoch+%3E%3D+0&offset=50"))

    assert "There are fewer" in page.text
    assert "?filter=epoch+%3E%3D+0" in page.links


def test_where_the_direction_is_not_known_nothing_is_called_the_best(
    client: TestClient, engine: Engine
) -> None:
    catalog.put_all(engine, [record(n, metrics={"alpha": float(n)}) for n in range(3)])

    unknown, given = client.get("/experiments/7"), client.get("/experiments/7?mode=max")

    assert drawing(unknown)["best"] is None
    assert "not known" in unknown.text
    assert drawing(given)["best"] == "m-2"
    assert "mode=&#34;max&#34;" in given.text


def test_a_checkpoint_whose_files_are_gone_shows_what_the_catalog_knows(
    client: TestClient, engine: Engine
) -> None:
    catalog.put(engine, record(1, artifact_uri="/nowhere/m-1/artifacts"))

    page = Page(client.get("/checkpoints/m-1"))

    assert "Its files are gone" in page.text
    assert "Net(depth=7)" in page.text
    assert 'tracker.load_model("m-1")' in page.text


def test_a_checkpoint_leads_to_those_before_and_after_it_in_its_run(
    client: TestClient, engine: Engine
) -> None:
    put_runs(engine, {"run-a": [0.5, 0.4, 0.3], "run-b": [0.7]})

    first, middle = client.get("/checkpoints/m-run-a-0"), client.get("/checkpoints/m-run-a-1")

    def beside(answer: httpx.Response) -> dict[Any, Any]:
        return {each["rel"]: each["href"] for each in Page(answer).all("a") if "rel" in each}

    assert beside(first) == {"next": "/checkpoints/m-run-a-1"}
    assert beside(middle) == {
        "prev": "/checkpoints/m-run-a-0",
        "next": "/checkpoints/m-run-a-2",
    }


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_on_every_page_whatever_they_hold(
    client: TestClient, engine: Engine, name: str
) -> None:
    hostile: dict[str, Any] = {
        "experiment": name,
        "name": name,
        "run_id": name,
        "model_text": name,
        "model_class": name,
        "metrics": {name: 0.5, "val_loss": 0.1},
        "params": {name: name},
        "tags": {name: name},
    }
    catalog.put_all(engine, [record(epoch, **hostile) for epoch in (1, 2)])
    shown = one_line(name, 120)

    for answer in (
        client.get("/"),
        client.get("/experiments/7"),
        client.get("/experiments/7", params={"metric": name, "mode": "max"}),
        client.get("/experiments/7", params={"filter": name, "order": name}),
        client.get("/checkpoints/m-1"),
    ):
        page = Page(answer)
        assert answer.status_code == 200
        assert shown in page.text
        assert all(
            "src" in each or each["type"] == "application/json" for each in page.all("script")
        )
        assert not page.all("img")
        assert not any(key.startswith("on") for _, found in page.elements for key in found)
        assert not any(link.lower().startswith("javascript:") for link in page.links)


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_nowhere_is_not_found_whatever_it_is_called(client: TestClient, name: str) -> None:
    for place in ("experiments", "checkpoints", "static"):
        answer = client.get(f"/{place}/{quote(name, safe='')}")
        assert answer.status_code == 404
        assert "There is no such page" in answer.text
        assert "root:" not in answer.text


def test_what_may_not_be_seen_is_as_if_it_did_not_exist(engine: Engine) -> None:
    put_runs(engine, {"run-a": [0.5]})
    put_runs(engine, {"run-s": [0.1]}, experiment_id="8", experiment="secret")
    app = create_app("sqlite:///mlflow.db", engine, allowed_hosts=["testserver"])
    app.state.look = lambda authorization: Viewer("ann", frozenset({"7"}))
    client = TestClient(app, headers={"Accept": "text/html"})

    first, hidden = client.get("/"), client.get("/experiments/8")
    unknown, checkpoint = client.get("/experiments/9"), client.get("/checkpoints/m-run-s-0")

    assert "Signed in as" in first.text
    assert "ann" in first.text
    assert "secret" not in first.text
    assert (hidden.status_code, hidden.text) == (404, unknown.text)
    assert checkpoint.status_code == 404
    assert "0.1" not in checkpoint.text
    suggested = client.get("/experiments/7", params={"filter": "tags.secre = 'x'"})
    assert "secret" not in suggested.text


def test_behind_a_proxy_every_link_begins_with_the_prefix(engine: Engine) -> None:
    put_runs(engine, {"run-a": [0.5]})
    app = create_app("http://mlflow:5000", engine, allowed_hosts=["testserver"])
    app.state.look = lambda authorization: Viewer(None, frozenset({"7"}))
    app.state.catch_up = lambda: None
    client = TestClient(app, headers={"Accept": "text/html", "X-Forwarded-For": "10.0.0.1"})

    for path in ("/tracker/", "/tracker/experiments/7", "/tracker/checkpoints/m-run-a-0"):
        page = Page(client.get(path))
        own = [link for link in page.links if not link.startswith(("#", "?"))]
        assert all(link.startswith(("/tracker/", "/#/", "/")) for link in own if link)
        assert "/tracker/models" in own
        for sheet in (*page.all("link"), *(each for each in page.all("script") if "src" in each)):
            assert client.get(str(sheet.get("href") or sheet["src"])).status_code == 200
    assert "/#/experiments/7/models/m-run-a-0" in own
    assert "/#/experiments/7/runs/run-a" in own


def test_pages_are_kept_by_no_cache_and_run_no_script_of_others(
    client: TestClient, engine: Engine
) -> None:
    put_runs(engine, {"run-a": [0.5]})

    answer = client.get("/experiments/7")

    assert answer.headers["cache-control"] == "no-store"
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert " style=" not in answer.text
