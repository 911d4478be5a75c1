"""`zoetrope import`: a page's workflow becomes a graph on the terminal, what is doubtful goes to standard error."""

import json
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1] / "graphs" / "page_format"


@pytest.fixture
def page(tmp_path):
    kept = json.loads((HERE / "pages" / "subgraph_values.json").read_bytes())
    path = tmp_path / "page.json"
    path.write_text(json.dumps(kept["page"]))
    return path, kept["answers"]["1.49.6"]


def test_a_page_becomes_the_graph_of_the_frontend_that_a_saved_answer_belongs_to(page, run):
    path, wanted = page
    done = run("import", str(path), "--catalog", str(HERE / "classes.json"))
    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == wanted


def test_the_graph_goes_into_a_file_and_is_a_graph_for_the_linter(page, run, tmp_path):
    out = tmp_path / "graph.json"
    catalog = ("--catalog", str(HERE / "classes.json"))
    assert run("import", str(page[0]), *catalog, "-o", str(out)).stdout == ""
    assert json.loads(out.read_text()) == page[1]
    # What is a graph already comes out as it is.
    assert json.loads(run("import", str(out)).stdout) == page[1]


def test_a_recorded_catalogue_says_what_it_lacks_and_an_unknown_node_is_an_error(page, run):
    done = run("import", str(page[0]))
    assert done.exit_code == 1
    assert "error: node 2:10 (TPass): this ComfyUI has no node 'TPass'" in done.stderr
    assert "a recorded catalogue lacks some of what the page goes by" in done.stderr


def test_warnings_count_where_it_is_strict(run, tmp_path):
    path = tmp_path / "page.json"
    path.write_text('{"nodes": [{"id": 1, "type": "TSource"}, {"id": 1, "type": "TSource"}]}')
    catalog = ("--catalog", str(HERE / "classes.json"))
    assert run("import", str(path), *catalog).exit_code == 0
    done = run("import", str(path), *catalog, "--strict")
    assert done.exit_code == 1
    assert "warning: node 1: two nodes have the id 1; the last one counts" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "is not valid JSON"),
        ('{"nodes": [{"id": NaN, "type": "A"}]}', "NaN is not a number, at nodes"),
        ('{"nodes": [{"type": "A"}]}', "nodes[0] has no id"),
        ("[" * 100_000, "nested too deep"),
        ('{"nodes": [], "x": ' + "[" * 100 + "]" * 100 + "}", "nested deeper than 64 levels"),
        ("[]", "is not a workflow"),
    ],
)
def test_what_cannot_be_read_ends_with_a_sentence(text, said, run, tmp_path):
    path = tmp_path / "page.json"
    path.write_text(text)
    done = run("import", str(path))
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_no_file_and_one_that_is_too_large_end_with_a_sentence(run, tmp_path):
    done = run("import", str(tmp_path / "none.json"))
    assert (done.exit_code, "No such file" in done.stderr) == (2, True)
    large = tmp_path / "large.json"
    with large.open("wb") as file:
        file.truncate(65 * 1024 * 1024)
    done = run("import", str(large))
    assert (done.exit_code, "too large for a workflow (64 MB)" in done.stderr) == (2, True)
