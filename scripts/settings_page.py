"""Write docs/settings.md from `mooring.settings`: every setting, its variable, default and meaning.

`--check` writes nothing and fails when the page is not what it would write.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import sys
from pathlib import Path

from mooring.settings import edge, recording, running, topics, variable_name

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"
HEAD = """# Settings

Every setting is an environment variable of `mooring serve`; those of the first table are also its flags. Times are in
seconds, sizes in bytes. This page is written by `scripts/settings_page.py` from `mooring/settings/`.
"""


def page() -> str:
    """The page as it should be."""
    trees = (ast.parse(inspect.getsource(module)) for module in (topics, edge, running, recording))
    classes = {node.name: node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)}
    parts = [HEAD]
    for field in classes["Settings"].body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            topic = field.target.id
            parts.append(_table(topic, classes[ast.unparse(field.annotation)]))
    return "\n".join(parts)


def _table(topic: str, cls: ast.ClassDef) -> str:
    lines = [
        f"## {topic.capitalize()}",
        "",
        ast.get_docstring(cls) or "",
        "",
        "| Variable | Default | Meaning |",
        "| --- | --- | --- |",
    ]
    body = cls.body
    for node, following in itertools.pairwise(body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            said = following.value.value if isinstance(following, ast.Expr) else ""  # type: ignore[attr-defined]
            variable = variable_name(topic, node.target.id)
            lines.append(f"| `{variable}` | {_default(node)} | {' '.join(str(said).split())} |")
    return "\n".join([*lines, ""])


def _default(node: ast.AnnAssign) -> str:
    value = node.value
    if isinstance(value, ast.Call):
        value = next(word.value for word in value.keywords if word.arg == "default")
    found = eval(compile(ast.Expression(value), "default", "eval"))
    return f"`{found}`" if found != "" else "none"


def main() -> int:
    if "--check" in sys.argv[1:]:
        return 0 if PAGE.read_text("utf-8") == page() else 1
    PAGE.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
