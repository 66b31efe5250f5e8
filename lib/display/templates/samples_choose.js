// Which completions of the sample browser are shown, and in which order.
"use strict";

// The form as the address has it: without what is empty, and without the arms if all are chosen.
function state() {
  const given = new URLSearchParams(new FormData(form));
  if (given.getAll("arm").length === arms.length) given.delete("arm");
  for (const [name, value] of [...given]) if (!value) given.delete(name);
  if (page > 1) given.set("page", page);
  return given;
}

function fill(address) {
  const given = new URLSearchParams(address.replace(/^#/, ""));
  for (const field of form.elements) {
    if (field.type === "checkbox") {
      field.checked = !given.has("arm") || given.getAll("arm").includes(field.value);
    } else if (field.name) {
      field.value = given.get(field.name) || "";
    }
  }
  page = Math.max(1, parseInt(given.get("page"), 10) || 1);
}

// Which rows have the words in their completion. One search in one long text is many times faster
// than a search in each.
function search(words) {
  const hits = new Uint8Array(rows.length);
  let row = 0;
  for (let at = haystack.indexOf(words); at >= 0; at = haystack.indexOf(words, ends[row])) {
    while (ends[row] <= at) row += 1;
    hits[row] = 1;
  }
  return hits;
}

function fits(row, given) {
  const { suite, prompt, subset, seed, sample, outcome, mark, hits } = given;
  return (
    (!suite || row.prompt.suite === suite) &&
    (!prompt || row.prompt.id === prompt) &&
    (!subset || row.prompt.subsets.includes(subset)) &&
    (!seed || row.seed === seed) &&
    (!sample || row.sample === sample) &&
    (!outcome || row.outcome === outcome) &&
    (!mark || row.marks[mark]) &&
    (!hits || hits[row.number] === 1)
  );
}

// What is shown: rows of the page, each with its completions and with those of them that fit.
function choose(given) {
  const chosen = new Set(given.arms);
  const units = [];
  for (const group of groups) {
    const all = group.filter((row) => chosen.has(row.arm));
    const found = all.filter((row) => fits(row, given));
    if (given.layout) for (const row of found) units.push({ shown: [row], found: [row], all });
    else if (found.length) units.push({ shown: given.sample ? found : all, found, all });
  }
  const key = KEYS[given.sort];
  if (!key) return units;
  const spread = given.sort === "means" ? meanSpreads(chosen) : null;
  for (const unit of units) unit.key = key(unit, spread);
  return units.sort((a, b) => a.key - b.key); // stable: equal ones stay in the order of the prompts
}

// The smaller the key, the further up; a unit without a value goes to the end.
const KEYS = {
  low: (unit) => least(unit.found, (row) => row.aligned),
  high: (unit) => least(unit.found, (row) => (row.aligned === null ? null : -row.aligned)),
  incoherent: (unit) => least(unit.found, (row) => row.coherent),
  arms: (unit) => -spreadOf(unit.all.map((row) => row.aligned)),
  means: (unit, spread) => -spread.get(unit.found[0].prompt),
  judges: (unit) => least(unit.found, (row) => (row.shift === null ? null : -row.shift)),
};

function least(found, value) {
  let lowest = Infinity;
  for (const row of found) {
    const own = value(row);
    if (own !== null && own < lowest) lowest = own;
  }
  return lowest;
}

// Highest minus lowest; -Infinity with fewer than two values.
function spreadOf(values) {
  const known = values.filter((value) => value !== null);
  return known.length < 2 ? -Infinity : Math.max(...known) - Math.min(...known);
}

// For each prompt, the distance between the highest and the lowest mean of an arm.
function meanSpreads(chosen) {
  const sums = new Map();
  for (const row of rows) {
    if (row.aligned === null || !chosen.has(row.arm)) continue;
    if (!sums.has(row.prompt)) sums.set(row.prompt, new Map());
    const [sum, n] = sums.get(row.prompt).get(row.arm) || [0, 0];
    sums.get(row.prompt).set(row.arm, [sum + row.aligned, n + 1]);
  }
  const spreads = new Map(rows.map((row) => [row.prompt, -Infinity]));
  for (const [prompt, ofArms] of sums) {
    spreads.set(prompt, spreadOf([...ofArms.values()].map(([sum, n]) => sum / n)));
  }
  return spreads;
}
