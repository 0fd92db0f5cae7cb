"""Four ways to draw the heatmap of the page, measured: plain JavaScript, Apache ECharts, Observable Plot, plotly.

    python -m tests.benchmarks chart_libraries

The libraries come from npm into a temporary folder. Each way draws the same matrix with a cursor that the arrow keys
move, in one self-contained file under the page's own Content-Security-Policy; where that stops it, once more without.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from cka_plugin.report.page.write import asset
from tests.support.browser import browser

PACKAGES = ("echarts@6", "@observablehq/plot@0.6", "d3@7", "plotly.js-cartesian-dist-min@3")
SHAPES = ((30, 50), (400, 400))
WAYS = {
    "plain JavaScript (ours)": (),
    "Apache ECharts": ("echarts/dist/echarts.min.js",),
    "Observable Plot + d3, cell": ("d3/dist/d3.min.js", "@observablehq/plot/dist/plot.umd.min.js"),
    "Observable Plot + d3, raster": ("d3/dist/d3.min.js", "@observablehq/plot/dist/plot.umd.min.js"),
    "plotly cartesian": ("plotly.js-cartesian-dist-min/plotly-cartesian.min.js",),
}
CELLS = "const cells = Array.from(values, (v, k) => ({ x: k % columns, y: Math.floor(k / columns), v }));"
DRAW = {
    "plain JavaScript (ours)": """
const labels = (n) => Array.from({ length: n }, (_, i) => `layer ${i}`);
const map = new Heatmap({ label: "CKA" });
byId("chart").append(map.element);
const at = (i, j) => values[i * columns + j];
map.show({ matrix: { rows, columns, values, at }, rows: labels(rows), columns: labels(columns), names: ["a", "b"],
  scale: [0, 1], read: (i, j) => `${i}, ${j}: ${at(i, j)}` });
const move = () => map.frame.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
""",
    "Apache ECharts": """
const chart = echarts.init(document.getElementById("chart"), null, { width: 620, height: 620 });
chart.setOption({ animation: false, aria: { enabled: true }, tooltip: {}, xAxis: { type: "category" },
  yAxis: { type: "category" }, visualMap: { min: 0, max: 1 }, series: [{ type: "heatmap", progressive: 0,
    data: Array.from(values, (v, k) => [k % columns, Math.floor(k / columns), v]) }] });
let at = 0;
const move = () => chart.dispatchAction({ type: "showTip", seriesIndex: 0, dataIndex: ++at });
""",
    "Observable Plot + d3, cell": CELLS
    + """
const chart = Plot.plot({ width: 620, height: 620, color: { scheme: "viridis" }, ariaLabel: "CKA",
  marks: [Plot.cell(cells, { x: "x", y: "y", fill: "v", inset: 0, tip: true })] });
document.getElementById("chart").append(chart);
const rects = chart.querySelectorAll("rect");
let at = 0;
const move = () => { rects[at].removeAttribute("stroke"); rects[++at].setAttribute("stroke", "red"); };
""",
    "Observable Plot + d3, raster": CELLS
    + """
const chart = Plot.plot({ width: 620, height: 620, color: { scheme: "viridis" }, ariaLabel: "CKA",
  marks: [Plot.raster(values, { width: columns, height: rows, imageRendering: "pixelated" })] });
document.getElementById("chart").append(chart);
const cursor = document.createElementNS("http://www.w3.org/2000/svg", "rect");
chart.append(cursor);
let at = 0;
const move = () => cursor.setAttribute("x", ++at);
""",
    "plotly cartesian": """
const matrix = Array.from({ length: rows }, (_, i) => Array.from(values.slice(i * columns, (i + 1) * columns)));
Plotly.newPlot("chart", [{ type: "heatmap", z: matrix, colorscale: "Viridis" }], { width: 620, height: 620 });
let at = 0;
const move = () => Plotly.Fx.hover("chart", [{ curveNumber: 0, pointNumber: [0, ++at] }]);
""",
}


def script(way: str, modules: Path) -> str:
    """What one way needs, and the drawing."""
    parts = [(modules / name).read_text(encoding="utf-8") for name in WAYS[way]]
    if not WAYS[way]:
        parts = [asset(f"{name}.js") for name in ("elements", "data", "colours", "heatmap")]
    return "\n".join(
        [
            *parts,
            'const shape = JSON.parse(document.getElementById("data").dataset.shape);',
            "const [rows, columns] = shape;",
            'const bytes = Uint8Array.from(atob(document.getElementById("data").textContent), (c) => c.charCodeAt(0));',
            "const values = new Float32Array(bytes.buffer);",
            DRAW[way],
            "window.move = move;",
            "requestAnimationFrame(() => requestAnimationFrame(() => { window.drawn = performance.now(); }));",
        ]
    )


def document(code: str, matrix: np.ndarray, strict: bool) -> str:
    """One file with the data, under the policy of the page or under none."""
    style = asset("page.css")
    code = f"(() => {{{code.replace('</script', '<' + chr(92) + '/script')}}})();"

    def digest(text: str) -> str:
        return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    policy = f"default-src 'none'; style-src '{digest(style)}'; script-src '{digest(code)}'; img-src data:"
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">' if strict else ""
    data = base64.b64encode(matrix.astype("<f4").tobytes()).decode()
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">{meta}<title>heatmap</title><style>{style}</style>'
        f'</head><body><main><h1>CKA</h1><div id="chart"></div></main><div id="announce"></div><script '
        f'type="text/plain" id="data" data-shape="{list(matrix.shape)}">{data}</script><script>{code}</script></body>'
        "</html>"
    )


def _opened(started: Any, path: Path) -> dict[str, Any]:
    """Open a page: when it is drawn, how long a key takes, and what the policy refused."""
    context = started.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    start = time.perf_counter()
    page.goto(path.as_uri(), wait_until="load")
    try:
        page.wait_for_function("window.drawn !== undefined", timeout=60_000)
    except Exception:  # playwright's own, which the policy may bring about
        context.close()
        return {"drawn": False, "refused": len(said)}
    opened = time.perf_counter() - start
    key = page.evaluate(
        "() => { const t = performance.now(); for (let i = 0; i < 20; i++) window.move();"
        " return (performance.now() - t) / 20; }"
    )
    found = {
        "drawn": True,
        "refused": len(said),
        "open_s": round(opened, 2),
        "key_ms": round(key, 2),
        "elements": page.evaluate("document.getElementById('chart').querySelectorAll('*').length"),
        "focusable": page.evaluate("document.getElementById('chart').querySelectorAll('[tabindex]').length"),
    }
    context.close()
    return found


def measure(repeats: int = 3) -> dict[str, Any]:
    """Measure all ways on both shapes; the median counts."""
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("npm is needed: apt-get install npm")
    rows = []
    with tempfile.TemporaryDirectory() as folder, browser() as started:
        subprocess.run([npm, "install", "--silent", "--prefix", folder, *PACKAGES], check=True)
        modules = Path(folder) / "node_modules"
        versions = {
            name: json.loads((modules / name / "package.json").read_text())["version"]
            for name in (package.rpartition("@")[0] for package in PACKAGES)
        }
        for way in WAYS:
            code = script(way, modules)
            for shape in SHAPES:
                matrix = np.random.default_rng(0).random(shape)
                row: dict[str, Any] = {"way": way, "shape": list(shape), "script_bytes": len(code.encode())}
                for strict in (True, False):
                    path = Path(folder) / "page.html"
                    path.write_text(document(code, matrix, strict), encoding="utf-8")
                    runs = [_opened(started, path) for _ in range(repeats)]
                    row["strict" if strict else "without_policy"] = sorted(runs, key=lambda one: one.get("open_s", 0))[
                        1
                    ]
                rows.append(row)
                print(json.dumps(row))
    return {"versions": versions, "rows": rows}


def table(found: dict[str, Any]) -> str:
    """For people."""
    lines = [
        "| way | cells | script, kB | opens, s | elements | refused by the policy | takes the focus |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in found["rows"]:
        free, strict = row["without_policy"], row["strict"]
        refused = strict["refused"] if strict["drawn"] else f"{strict['refused']}, and nothing is drawn"
        cells, kilobytes = " x ".join(map(str, row["shape"])), row["script_bytes"] / 1000
        focus = "yes" if free["focusable"] else "no"
        figures = f"{kilobytes:.0f} | {free['open_s']:.2f} | {free['elements']:,} | {refused} | {focus}"
        lines.append(f"| {row['way']} | {cells} | {figures} |")
    return "\n".join(lines)
