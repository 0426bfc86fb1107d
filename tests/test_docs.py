"""What the documents say is run: the README's program, its commands, the tests that the guarantees name."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = [
    pytest.param(program, printed, commands, id=f"{page.name}-{at}")
    for page in PAGES
    for at, (program, printed, commands) in enumerate(
        re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```((?:(?!```python).)*)", page.read_text(), re.S)
    )
]


def test_every_page_that_explains_how_to_use_it_has_a_program():
    """And there are as many programs as there are blocks of Python: each is run."""
    blocks = sum(page.read_text().count("```python") for page in PAGES)
    assert blocks == len(PROGRAMS) >= 6


@pytest.mark.parametrize(("program", "printed", "commands"), PROGRAMS)
def test_every_program_on_a_page_prints_what_the_page_says(program, printed, commands, tmp_path):
    """Copied out and run in an empty folder, line for line; then the commands that follow it, over its files."""
    run = {"cwd": tmp_path, "timeout": 60, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": str(ROOT)}, **run)
    assert (done.stdout, done.returncode) == (printed, 0), done.stderr
    assert "Traceback" not in done.stderr
    (tmp_path / "shop.py").write_text(program.replace("asyncio.run(main())", "pass"))
    for session in re.findall(r"```console\n(.*?)```", commands, re.S):
        for command, answer in re.findall(r"\$ anabranch (.*?)\n((?:(?!\$ ).*\n)*)", session):
            words = [sys.executable, "-m", "sync.cli", *shlex.split(command)]
            done = subprocess.run(words, env={"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}, **run)
            assert done.stdout + done.stderr == answer, command


def test_every_make_target_that_is_documented_exists():
    """`make x` in any page is a target of the Makefile."""
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    for page in PAGES:
        assert set(re.findall(r"(?:`|^    )make (\w+)", page.read_text(), re.M)) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page):
    """Files that a page links to are there."""
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_guarantee_names_a_test_that_exists():
    """The page of guarantees is a list of tests; each of them is in the suite."""
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/guarantees.md").read_text()))
    found = set()
    for path in [*(ROOT / "tests").glob("test_*.py"), ROOT / "replica/testing/logs.py"]:
        found |= {
            node.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        found.add(path.stem)
    assert len(named) > 20
    assert named <= found, f"no such test: {sorted(named - found)}"


@pytest.mark.parametrize("package", ["merge", "replica", "replica.testing", "sync", "sync.testing"])
def test_every_exported_name_exists_and_is_explained(package):
    """The face of a package: sorted, present, each with a docstring of its own."""
    module = importlib.import_module(package)
    assert list(module.__all__) == sorted(module.__all__, key=lambda name: (name.upper() != name, name))
    for name in module.__all__:
        thing = getattr(module, name)
        assert not isinstance(thing, type) or thing.__doc__, f"{package}.{name} is not explained"


def test_every_test_says_its_sentence():
    """A docstring on each test, which is what a failure means to somebody who did not write it."""
    silent = []
    for path in (ROOT / "tests").glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                if not ast.get_docstring(node):
                    silent.append(f"{path.name}:{node.lineno} {node.name}")
    assert silent == []
