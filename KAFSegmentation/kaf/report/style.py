"""The look of the reports: one style sheet and the few lines that sort a table."""

STYLE = """
:root {
  --paper: #fbfaf7; --card: #ffffff; --ink: #1d2329; --soft: #5d6771; --rule: #dfdcd4; --faint: #efece5;
  --accent: #1f6f78; --bar: #1f6f7870; --alarm: #a8321f; --notice: #fff4df; --notice-rule: #d9a441;
  --serif: "Iowan Old Style", "Palatino Linotype", Palatino, "Source Serif 4", Georgia, "Liberation Serif",
  serif;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial,
  sans-serif;
}
@media (prefers-color-scheme: dark) { :root {
  --paper: #14181c; --card: #1b2126; --ink: #e7e9ea; --soft: #9ba6af; --rule: #333c44; --faint: #262d33;
  --accent: #6fc3cb; --bar: #6fc3cb70; --alarm: #ff9c86; --notice: #2b2517; --notice-rule: #a98138;
} }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 var(--sans); }
main { max-width: 1120px; margin: 0 auto; padding: 56px 32px 40px; }
header { border-bottom: 1px solid var(--rule); padding-bottom: 22px; }
.kind { color: var(--accent); font-size: 13px; font-weight: 600; letter-spacing: .09em;
  text-transform: uppercase; }
h1 { font: 600 38px/1.15 var(--serif); margin: 8px 0 12px; letter-spacing: -.01em; overflow-wrap: anywhere;
  }
h2 { font: 600 24px/1.25 var(--serif); margin: 0 0 14px; }
section { margin-top: 52px; }
p { margin: 10px 0; max-width: 72ch; }
.lead { color: var(--soft); margin: -8px 0 18px; }
.facts { color: var(--soft); font-size: 14px; display: flex; flex-wrap: wrap; gap: 2px 22px; margin: 0;
  max-width: none; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 14px;
  margin-top: 28px; }
.tile { background: var(--card); border: 1px solid var(--rule); border-radius: 10px;
  padding: 16px 18px 14px; }
.tile .name { font-size: 13px; color: var(--soft); }
.tile .value { font: 600 31px/1.2 var(--serif); font-variant-numeric: lining-nums tabular-nums;
  margin: 4px 0 2px; }
.tile .remark { font-size: 12.5px; line-height: 1.4; color: var(--soft); }
.notice { background: var(--notice); border-left: 4px solid var(--notice-rule); border-radius: 4px;
  padding: 12px 18px; margin-top: 22px; font-size: 14.5px; }
.notice ul { margin: 6px 0 0; padding-left: 20px; } .notice li { overflow-wrap: anywhere; }
.notice summary { cursor: pointer; margin-top: 4px; }
.scroll { overflow-x: auto; border: 1px solid var(--rule); border-radius: 10px; background: var(--card); }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
th, td { padding: 9px 13px; text-align: left; border-top: 1px solid var(--faint); vertical-align: baseline;
  }
thead th { border-top: 0; border-bottom: 1px solid var(--rule); font-weight: 600; font-size: 13px;
  vertical-align: bottom; line-height: 1.35; }
table small { display: block; font-weight: 400; font-size: 12px; color: var(--soft); }
tbody tr:first-child > * { border-top: 0; }
tbody th { font-weight: 500; white-space: nowrap; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: lining-nums tabular-nums; }
td.bar { background: linear-gradient(var(--bar), var(--bar)) 13px calc(100% - 4px)
  / calc(var(--share) * (100% - 26px)) 3px no-repeat; }
.alarm { color: var(--alarm); font-weight: 600; }
tbody tr:hover > * { background-color: var(--faint); }
th button { all: unset; cursor: pointer; } th button:hover { color: var(--accent); }
th button:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; border-radius: 2px; }
th[aria-sort] button { color: var(--accent); }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
.swatch { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 8px;
  border: 1px solid #0004; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.gallery { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(430px, 100%), 1fr));
  gap: 18px; }
figure { margin: 0; background: var(--card); border: 1px solid var(--rule); border-radius: 10px;
  overflow: hidden; }
figcaption { padding: 12px 16px 13px; font-size: 14px; line-height: 1.45; overflow-wrap: anywhere; }
figcaption span { display: block; color: var(--soft); font-size: 13px; }
.picture { display: flex; flex-direction: column; }
.picture img { width: 100%; height: 380px; object-fit: contain; background: #000; image-rendering: auto; }
.chart { padding: 16px 18px 8px; } .chart figcaption { padding: 0 0 8px; }
.chart svg { display: block; width: 100%; height: auto; font-family: var(--sans); }
.chart text { fill: var(--ink); font-size: 12px; font-variant-numeric: tabular-nums; }
.chart .soft { fill: var(--soft); } .chart .grid { stroke: var(--faint); }
  .chart .whisker { stroke: var(--soft); }
.chart .box { fill-opacity: .22; stroke: var(--soft); } .chart .median { stroke: var(--ink);
  stroke-width: 2.5; }
.chart circle { stroke: var(--ink); stroke-opacity: .55; stroke-width: .6; fill-opacity: .85; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; font-size: 13.5px; color: var(--soft);
  max-width: none; }
.terms { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(430px, 100%), 1fr));
  gap: 14px 36px;
  margin: 14px 0 0; }
.terms dt { font-weight: 600; font-size: 14.5px; }
.terms dd { margin: 1px 0 0; color: var(--soft); font-size: 14px; overflow-wrap: anywhere; }
footer { margin-top: 56px; border-top: 1px solid var(--rule); padding-top: 14px; color: var(--soft);
  font-size: 13px; }
@media (max-width: 640px) { main { padding: 32px 16px; } h1 { font-size: 29px; }
  .picture img { height: 300px; } }
@media print {
  body { background: #fff; font-size: 12px; } main { max-width: none; padding: 0; }
  figure, tr, .tile, .notice { break-inside: avoid; } h2 { break-after: avoid; }
  .scroll { overflow: visible; }
}
"""

# Click on a head: ascending, again: descending.  Cells without a value stay last either way.
SORTER = """
document.querySelectorAll("table.sortable").forEach(table => {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, index) => head.firstElementChild.addEventListener("click", () => {
    const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const key = row => row.cells[index].dataset.order;
    const numeric = head.classList.contains("number");
    [...body.rows].sort((a, b) => {
      const x = key(a), y = key(b);
      if (x === "" || y === "") return (x === "") - (y === "");
      return sign * (numeric ? x - y : x.localeCompare(y, undefined, {numeric: true}));
    }).forEach(row => body.append(row));
  }));
});
"""
