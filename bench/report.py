"""Results as a table for the terminal, as JSON, as the page and picture of docs/bench/, and in the README."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from statistics import median
from typing import Any

import pymongo

from bench import scaling
from bench.stack import Stack
from bench.targets import TARGETS, Target, count_wrong, list_unclean
from tests.servers import mysql_connection

ROOT = Path(__file__).parents[1]
LATEST = ROOT / "bench-results" / "latest.json"
PUBLISHED = ROOT / "docs" / "bench"
README = ROOT / "README.md"
_IN_README = re.compile("(?<=<!-- figures: made by scripts/bench -->\n).*(?=<!-- /figures -->)", re.DOTALL)


def describe_machine(stack: Stack) -> dict[str, Any]:
    """What the numbers depend on besides the code; `load_average` above 0 means that others were at work."""
    client: pymongo.MongoClient[dict[str, object]]
    with mysql_connection(stack.mariadb.url) as cursor, pymongo.MongoClient(stack.mongodb.url) as client:
        cursor.execute("SELECT VERSION()")
        (mariadb,) = cursor.fetchone() or ("",)
        mongodb = client.server_info()["version"]
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "cores": os.cpu_count(),
        "processor": _find_processor(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "mariadb": mariadb,
        "mongodb": mongodb,
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def _find_processor() -> str:
    """As Linux names it; empty where it does not say."""
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1].strip() if found else ""


def _list_met(found: dict[str, Any]) -> Iterator[tuple[Target, float, float]]:
    """The targets of the workloads that ran, each with its value and the share of the goal."""
    for target in TARGETS:
        if target.workload in found["workloads"]:
            results = found["workloads"][target.workload]
            yield target, target.find(results), target.share(results)


def _rows(found: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    rows = [
        (
            target.title,
            f"{value:,g} {target.unit}" if value < 1000 else f"{value:,.0f} {target.unit}",
            f"{'≤' if target.is_upper_bound else '≥'} {target.goal:,g}",
            "met" if share >= 1 else f"{share:.0%}",
        )
        for target, value, share in _list_met(found)
    ]
    wrong = count_wrong(found["workloads"])
    rows.append(
        ("lost, duplicated or misordered deliveries", f"{wrong:,}", "0", "met" if not wrong else "missed")
    )
    unclean = len(list_unclean(found["workloads"]))
    rows.append(
        (
            "runs with anything refused, closed or unanswered",
            f"{unclean}",
            "0",
            "missed" if unclean else "met",
        )
    )
    return rows


def to_table(found: dict[str, Any]) -> str:
    rows = [("measured", "result", "target", ""), *_rows(found)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def write_latest(found: dict[str, Any]) -> None:
    LATEST.parent.mkdir(exist_ok=True)
    LATEST.write_text(json.dumps(found, indent=2) + "\n")


def publish(found: dict[str, Any]) -> None:
    """Write what is committed: docs/bench/results.json, results.svg and README.md, the figures of the README
    at the top, and the tables of docs/scaling.md, which follow from them."""
    PUBLISHED.mkdir(parents=True, exist_ok=True)
    (PUBLISHED / "results.json").write_text(json.dumps(found, indent=2) + "\n")
    (PUBLISHED / "results.svg").write_text(_draw(found))
    (PUBLISHED / "README.md").write_text(_write_page(found))
    figures = "\n".join(["", *_write_figures(found), "", describe(found), "", ""])
    README.write_text(_IN_README.sub(lambda _: figures, README.read_text()))
    scaling.PAGE.write_text(scaling.renew(scaling.PAGE.read_text()))


# --- The page -----------------------------------------------------------------------------------------


def _write_figures(found: dict[str, Any]) -> list[str]:
    return [
        "| measured | result | target | |",
        "|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in _rows(found)),
    ]


def describe(found: dict[str, Any]) -> str:
    """The sentences below the figures: when, on what, and how durable."""
    machine = found["machine"]
    parts = [machine["machine"], machine.get("processor"), f"Python {machine['python']}"]
    if "memory_gb" in machine:
        parts.insert(2, f"{machine['memory_gb']:g} GB")
        parts += [f"MariaDB {machine['mariadb']}", f"MongoDB {machine['mongodb']}"]
    return (
        f"Measured on {machine['date']} on {machine['cores']} cores ({', '.join(filter(None, parts))}), "
        "which the server, MariaDB, MongoDB and the load generator share. Every "
        "commit is durable: `innodb_flush_log_at_trx_commit=1`, `sync_binlog=1`, binary log on, MongoDB "
        "with `w:majority` and `j:true`. Absolute times of a shared machine mean little; ratios and CPU "
        f"seconds do.{_write_yardsticks(found)}"
    )


def _write_yardsticks(found: dict[str, Any]) -> str:
    """What the machine could do before each workload: the middle, and the best and the worst."""
    measured = found.get("yardsticks", {}).values()
    if not measured:
        return ""

    def tell(name: str, unit: str) -> str:
        values = sorted(one[name] for one in measured)
        return f"{median(values):g} {unit} ({values[0]:g} to {values[-1]:g})"

    return (
        " What the machine itself gave just before each workload, as median and range: "
        f"one `send` to a loopback socket {tell('socket_send_us', 'µs')} of CPU, "
        f"a synced write of 4 KiB {tell('synced_write_ms', 'ms')}, "
        f"{tell('python_loops_per_us', 'rounds')} of an empty Python loop in a µs."
    )


def _write_page(found: dict[str, Any]) -> str:
    lines = [
        "# Benchmarks",
        "",
        "Made by `./scripts/bench --publish`; do not edit. All numbers: [results.json](results.json).",
        "",
        "![Shares of the targets reached](results.svg)",
        "",
        *_write_figures(found),
        "",
        describe(found),
        f"The load average was {found['machine']['load_average_before']:g} before the first run.",
        "",
        *_write_costs(found["workloads"]),
        *_write_calls(found["workloads"]),
        *_write_stores(found["workloads"]),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _find_runs(found: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every run of messages below a result, with its path as its name."""
    if not isinstance(found, dict):
        return
    if "cpu_s_per_1000_messages" in found:
        yield name, found
        return
    for key, value in found.items():
        yield from _find_runs(value, f"{name} {key.replace('_', ' ')}".strip())


def _write_costs(workloads: dict[str, Any]) -> list[str]:
    runs = list(_find_runs(workloads))
    if not runs:
        return []
    lines = [
        "## CPU seconds",
        "",
        "Of server, mariadbd and mongod, from the first message until all had arrived. Where there were",
        "three runs it is the one in the middle; the last column is the range of what it was chosen by.",
        "",
        "| run | messages/s | deliveries/s | p50 / p99 ms | 1,000 messages | 100,000 deliveries | range |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, run in runs:
        costs = (
            " + ".join(f"{value:.2f}" for value in run[key].values() if value is not None) or "–"
            for key in ("cpu_s_per_1000_messages", "cpu_s_per_100000_deliveries")
        )
        delays = f"{run['delivered_ms']['p50']} / {run['delivered_ms']['p99']}"
        rates = f"{run['messages_per_s']:,.0f} | {run['deliveries_per_s']:,.0f}"
        spread = " – ".join(f"{value:,.5g}" for value in run["spread"]) if run.get("other_runs") else ""
        lines.append(f"| {name} | {rates} | {delays} | {' | '.join(costs)} | {spread} |")
    return [*lines, ""]


def _write_calls(workloads: dict[str, Any]) -> list[str]:
    if "rest" not in workloads:
        return []
    rows = [
        f"| `{name}` | {call['requests_per_s']:,.0f} | {call['p50_ms_of_8']:g} | {call['p50_ms_alone']:g} |"
        for name, call in workloads["rest"].items()
    ]
    head = "| call | requests/s of 8 clients | p50 ms of 8 | p50 ms alone |"
    return ["## REST", "", head, "|---|---|---|---|", *rows, ""]


def _write_stores(workloads: dict[str, Any]) -> list[str]:
    if "stores" not in workloads:
        return []
    found = workloads["stores"]
    kinds = ("rows", "rows_with_texts", "texts")
    each = 1e6 / found["messages"]
    measures = {
        "data, MB": ("data_mb", 1),
        "indexes, MB": ("index_mb", 1),
        "grows with a message, bytes of data": ("data_mb", each),
        "and of indexes": ("index_mb", each),
        "page of 50, ms": ("page_of_50_ms", 1),
        "backup, s": ("backup_s", 1),
        "backup, MB": ("backup_mb", 1),
        "restore, s": ("restore_s", 1),
        "dropping the texts of the older half, s": ("drop_older_half_s", 1),
    }
    about = (
        f"{found['messages']:,} messages of about 100 characters, English and Vietnamese: rows without "
        "texts in MariaDB, the same rows with their texts in a column, and the texts in MongoDB. Rows are "
        "backed up by `mariadb-dump`, texts document by document."
    )
    if "date" in found:  # where it is younger than the rest
        about += f" Measured on {found['date']}."
    lines = [
        "## Two stores",
        "",
        about,
        "",
        "| | rows | rows with texts | texts apart |",
        "|---|---|---|---|",
    ]
    for title, (key, unit) in measures.items():
        cells = (f"{found[kind][key] * unit:.4g}" if key in found[kind] else "–" for kind in kinds)
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return [*lines, ""]


# --- The picture --------------------------------------------------------------------------------------


def _draw(found: dict[str, Any]) -> str:
    """Bars of the shares that were reached, cut off at twice the target, and a line at the target."""
    step, left, width = 30, 330, 360
    met = list(_list_met(found))
    height = step * len(met) + 40
    size = f'width="{left + width + 150}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">',
        f'<rect width="100%" height="{height}" fill="#ffffff"/>',
    ]
    for number, (target, value, share) in enumerate(met):
        y = 12 + number * step
        bar = round(width / 2 * min(share, 2))
        colour = "#2b8a3e" if share >= 1 else "#e8590c"
        title, unit = escape(target.title), escape(target.unit)
        said = f"{value:,.0f}" if value >= 100 else f"{value:g}"
        parts += [
            f'<text x="{left - 8}" y="{y + 14}" text-anchor="end" fill="#212529">{title}</text>',
            f'<rect x="{left}" y="{y}" width="{bar}" height="20" rx="3" fill="{colour}"/>',
            f'<text x="{left + bar + 6}" y="{y + 14}" fill="#212529">{said} {unit}</text>',
        ]
    line = left + width // 2
    parts += [
        f'<line x1="{line}" y1="4" x2="{line}" y2="{height - 26}" stroke="#212529" stroke-dasharray="4 3"/>',
        f'<text x="{line}" y="{height - 8}" text-anchor="middle" fill="#212529">target</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"
