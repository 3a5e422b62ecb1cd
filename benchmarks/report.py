"""Tables of benchmark results, printed and saved as results/NAME.json."""

import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).parent / "results"
PACKAGES = ("skconvexbn", "numpy", "scipy", "scikit-learn", "cvxpy", "clarabel", "torch")


def table(rows):
    """Rows (dicts of the same keys) as Markdown."""
    keys = list(rows[0])
    lines = [" | ".join(keys), " | ".join("---" for _ in keys)]
    for row in rows:
        cells = (f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values())
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)


def save(name, rows):
    """Write rows with the versions and the number of cores they were measured on."""
    FOLDER.mkdir(exist_ok=True)
    setting = {"python": platform.python_version(), "cores": os.cpu_count()}
    setting.update({package: version(package) for package in PACKAGES})
    text = json.dumps({"setting": setting, "rows": rows}, indent=1, default=float)
    (FOLDER / f"{name}.json").write_text(text + "\n")
    print(f"\n{name}\n{table(rows)}")


def command_line(main, doc, least=0):
    """Call main with the arguments of the command line; show doc for --help or too few of them."""
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        print(doc)
    elif len(arguments) < least:
        sys.exit(doc)
    else:
        main(*arguments)
