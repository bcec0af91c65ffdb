"""The numbers that a page shows, beside those of `lazymig status --json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.async_api import Page

_READ = """() => {
  const facts = {};
  for (const row of document.querySelectorAll("#progress .facts > div, #conversions .facts > div"))
    facts[row.querySelector("dt").textContent.trim()] = row.querySelector("dd").textContent.trim();
  for (const part of document.querySelectorAll("#progress .legend li")) {
    const value = part.querySelector(".value").textContent.trim();
    facts[part.textContent.trim().slice(0, -value.length).trim()] = value;
  }
  // Estimates of time are sentences, and no numbers of the status.
  for (const name of Object.keys(facts)) if (!/^(about )?[0-9,]+$/.test(facts[name])) delete facts[name];
  const text = (selector) => document.querySelector(selector)?.textContent.trim() ?? "";
  const blocked = document.querySelectorAll("#phases .gates .bad, #phases .gates .unknown");
  return {
    ...facts,
    phase: text("#phases [aria-current=step] .phase"),
    share: text("#progress .figure strong"),
    epoch: text("#fleet p").match(/epoch ([0-9]+)/)?.[1] ?? "",
    members: String(document.querySelectorAll("#fleet tbody tr").length),
    gates: String(document.querySelectorAll("#phases .gates li").length),
    blocked: [...blocked].map((gate) => gate.querySelector("strong").textContent).sort().join(),
    verified: text("#verification").match(/([0-9,]+) entities compared, ([0-9,]+ agreed)/)?.slice(1).join() ?? "",
  };
}"""


async def read_numbers(page: Page) -> Mapping[str, str]:
    """Return every number that the page shows of the collections, the fleet and the next step, by what it is called."""
    found: Mapping[str, str] = await page.evaluate(_READ)
    return found


def list_numbers(status: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the numbers that a page must show of a status, by what the page calls them."""
    v2, by, plan = status["v2"], status["moved_by"], status["plan"]
    gates = [] if plan is None else plan["gates"]
    counts = {
        "V1 entities": status["v1"], "V2 clean": v2["clean"], "V2 dirty (open writes)": v2["dirty"],
        "V2 placeholders": v2["placeholders"], "V2 tombstones": v2["tombstones"],
        "remaining, about": status["remaining"], "open dead letters": status["dead_letters"],
        "moved by reads": by["read"], "moved by writes": by["write"], "moved by sweeps": by["sweep"],
        **({"waiting for users": v2["waiting"]} if v2["waiting"] else {}),
        **({"not taken over": v2["left"]} if v2["left"] else {}),
        **{f"conversion revision {revision}": count for revision, count in status["conversions"].items()},
    }  # fmt: skip
    last = status["verified"]["last"]
    blocked = [gate["name"] for gate in gates if gate["state"] != "open" and not gate.get("accepted")]
    return {
        **{name: f"{count:,}" for name, count in counts.items()},
        "phase": status["phase"], "share": f"{int(status['share'] * 1000) / 10} %",
        "epoch": str(status["fleet"]["standing"]["epoch"]), "members": str(len(status["fleet"]["members"])),
        "gates": str(len(gates)), "blocked": ",".join(sorted(blocked)),
        "verified": "" if last is None else f"{last['counts']['compared']:,},{last['counts']['match']:,} agreed",
    }  # fmt: skip
