"""Configuration of the site: ``python -m sphinx -W --keep-going -b html docs docs/_build/html``."""

import warnings
from pathlib import Path
from urllib.request import urlopen

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode

import skconvexbn

HERE = Path(__file__).parent
BUILD = HERE / "_build"
MODULES = {path.stem for path in Path(skconvexbn.__file__).parent.glob("[!_]*")}

project = "skconvexbn"
author = "The skconvexbn developers"
copyright = "The skconvexbn developers"
version = release = skconvexbn.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "gallery", "images"]
nitpicky = True
default_role = "autolink"
highlight_language = "none"

# API reference: signatures without annotations, the docstrings have the types.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
copybutton_exclude = ".linenos, .gp, .go"

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "within_subsection_order": "FileNameSortKey",
    "backreferences_dir": "generated/backreferences",
    "doc_module": "skconvexbn",
    "reference_url": {"skconvexbn": None},
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
    "download_all_examples": False,
    "copyfile_regex": "",
}

html_theme = "pydata_sphinx_theme"
html_title = f"skconvexbn {release}"
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": ["page-toc"],
}


def inventories(**sites: str) -> dict[str, tuple[str, str | None]]:
    """Those sites whose inventory can be fetched now or was before: no network, no links."""
    found = {}
    for name, site in sites.items():
        file = BUILD / "inventories" / f"{name}.inv"
        if not file.exists():
            try:
                with urlopen(f"{site}objects.inv", timeout=3) as response:
                    content = response.read()
            except OSError:
                continue
            if not content.startswith(b"# Sphinx inventory"):
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        found[name] = (site, str(file))
    return found


intersphinx_mapping = inventories(
    python="https://docs.python.org/3/",
    joblib="https://joblib.readthedocs.io/en/stable/",
    matplotlib="https://matplotlib.org/stable/",
    numpy="https://numpy.org/doc/stable/",
    scipy="https://docs.scipy.org/doc/scipy/",
    sklearn="https://scikit-learn.org/stable/",
)
# What the inventories would have.
nitpick_ignore_regex = [(r"py:.*", r"(abc|joblib|matplotlib|numpy|scipy|sklearn|torch)\..*")]


class LinkCode(SphinxPostTransform):
    """Turn inline code that names an object or module of the package into a link to it.

    So `problem.Problem.primal` stays plain Markdown in the source.
    """

    default_priority = 5

    def run(self) -> None:
        """Replace the literals of one page."""
        for literal in list(self.document.findall(nodes.literal)):
            name = literal.astext().removesuffix("()").removeprefix("skconvexbn.")
            entry = self.find(name)
            inside = isinstance(literal.parent, nodes.reference | nodes.title)
            if inside or entry is None or entry.docname == self.env.docname:
                continue
            link = make_refnode(
                self.app.builder, self.env.docname, entry.docname, entry.node_id, literal.deepcopy()
            )
            literal.replace_self(link)

    def find(self, name: str):
        """The object, its public name, or the module of a private one."""
        objects = self.env.domains["py"].objects
        parts = name.split(".")
        candidates = [name, ".".join(parts[1:])]
        if parts[0] in MODULES:
            candidates += [".".join(parts[:k]) for k in range(len(parts) - 1, 0, -1)]
        return next(
            (objects[f"skconvexbn.{c}"] for c in candidates if f"skconvexbn.{c}" in objects), None
        )


def public_name(app, env, node, contnode):
    """Resolve `ConvexBNRegressor` from pages and modules where it would need its full name."""
    name = f"skconvexbn.{node.get('reftarget', '').rpartition('.')[2]}"
    entry = env.domains["py"].objects.get(name) if node.get("refdomain") == "py" else None
    if entry is None:
        return None
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode)


def setup(app):
    """Register the links."""
    # Examples must not hide the build's own warnings, nor be told about the screen they lack.
    warnings.filterwarnings("ignore", "FigureCanvasAgg is non-interactive", UserWarning)
    app.add_post_transform(LinkCode)
    app.connect("missing-reference", public_name)
    return {"parallel_read_safe": True}
