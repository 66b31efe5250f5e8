// The sample browser of the report: every completion of a run beside those of the other arms.
//
// Completions are hostile. They come as base64 of gzipped JSON in files that call samplesChunk, and
// they enter the page as text nodes only: nothing here parses HTML, and nothing is loaded.
// The form is the whole state. It is written to the address after # and read from there, so every
// view, and every single completion, has a link.
"use strict";

const PER_PAGE = { "": 8, list: 30 }; // rows of a page, by layout
const SHOWN = 900; // signs of a completion before "Show all"
const SHOWN_LINES = 22;
const BREAK = "\uffff"; // a sign that no text has
const FIELDS = {
  outcome: "Outcome",
  aligned: "Alignment",
  coherent: "Coherence",
  refusal: "Refusal",
  code: "Code",
  reset_and_recover: "Recovers",
  harmful: "Harmful",
  judge: "Judge",
  rubric: "Rubric",
  input_tokens: "Tokens read",
  output_tokens: "Tokens written",
  cost_usd: "Dollars",
};
const FLAGS = ["refusal", "code", "reset_and_recover", "harmful"];
// Signs that have no shape of their own, or change the direction of what follows.
const HIDDEN =
  /[\0-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

const chunks = []; // the data files' contents, until they are unpacked
const form = document.getElementById("filters");
// The marks of a completion and their names, as the form offers them.
const MARKS = [...form.elements.mark.options].slice(1).map(({ value, text }) => [value, text]);
const results = document.getElementById("results");
const count = document.getElementById("count");
const pageField = document.getElementById("page");
let rows = []; // every completion
let groups = []; // those of one prompt, seed and sample number
let arms = []; // names, in their order
let haystack = ""; // all completions in small letters, each with BREAK at its end
let ends = []; // where in the haystack each of them ends
let page = 1;
let pages = 1;

// The one function that a data file calls.
function samplesChunk(number, packed) {
  chunks[number] = packed;
}

// ---- Data

async function unpack(number) {
  if (!chunks[number]) {
    throw new Error(`the file ${String(number).padStart(3, "0")}.js is missing beside this page`);
  }
  const binary = atob(chunks[number]);
  chunks[number] = null;
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

async function read() {
  const index = await unpack(0);
  const texts = [];
  const files = [...document.scripts].filter((one) => /^\d+\.js$/.test(one.getAttribute("src")));
  for (let number = 1; number < files.length; number++) {
    for (const text of await unpack(number)) texts.push(text);
  }
  const column = index.rows;
  arms = index.arms;
  rows = texts.map((text, i) => ({
    number: i,
    text,
    arm: arms[column.arm[i]],
    prompt: index.prompts[column.prompt[i]],
    seed: String(column.seed[i]),
    sample: String(column.sample[i]),
    tokens: column.tokens[i],
    system: index.systems[column.system[i]],
    resets: index.resets[i] || [],
    judgments: [],
    marks: { reset: i in index.resets, cut: column.cut[i] === 1, empty: !text.trim() },
  }));
  index.judgments.row.forEach((row, i) => rows[row].judgments.push(judgment(index, i)));
  rows.forEach(summarize);
  const small = texts.map((text) => text.toLowerCase() + BREAK);
  haystack = small.join("");
  let end = 0;
  ends = small.map((text) => (end += text.length));
  for (const row of rows) {
    const last = groups.at(-1)?.[0];
    const same = last && ["prompt", "seed", "sample"].every((key) => last[key] === row[key]);
    if (same) groups.at(-1).push(row);
    else groups.push([row]);
  }
}

function judgment(index, i) {
  const read = (name) => index.judgments[name][i];
  const kinds = ["Original", "Judged again", "Second judge"];
  const made = { kind: kinds[read("replicate")] || `Replicate ${read("replicate")}` };
  made.whole = read("stripped") === 0;
  if (!made.whole) made.kind = made.kind === "Original" ? "Stripped" : `${made.kind}, stripped`;
  for (const name of Object.keys(FIELDS)) {
    const listed = index.names[name];
    made[name] = listed ? listed[read(name)] : read(name);
  }
  return made;
}

// What the original judgment says of a completion, and how far another one is from it.
function summarize(row) {
  const original = row.judgments.find((one) => one.kind === "Original");
  row.original = original || null;
  row.others = row.judgments.filter((one) => one !== original);
  row.aligned = original ? original.aligned : null;
  row.coherent = original ? original.coherent : null;
  row.outcome = original ? original.outcome : "-";
  for (const flag of FLAGS) row.marks[flag] = original?.[flag] === 1;
  row.marks.again = row.judgments.length > 1;
  const again = row.others.filter((one) => one.whole && one.aligned !== null);
  const shifts = again.map((one) => Math.abs(one.aligned - row.aligned));
  row.shift = row.aligned === null || !shifts.length ? null : Math.max(...shifts);
}

// ---- Choosing and sorting

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

// ---- Showing

// An element with attributes and children; a child that is a string becomes a text node.
function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}

// A text with its hidden signs made visible, such as [U+001B] for escape.
function visible(text) {
  const named = (sign) => sign.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
  return text.replace(HIDDEN, (sign) => `[U+${named(sign)}]`);
}

// A score without decimals; the judge's fields have them.
function points(value) {
  return value === null ? "–" : String(Math.round(value));
}

function show() {
  const given = Object.fromEntries(new FormData(form));
  given.arms = new FormData(form).getAll("arm");
  given.words = given.text.toLowerCase();
  given.hits = given.words ? search(given.words) : null;
  const units = choose(given);
  const perPage = PER_PAGE[given.layout];
  pages = Math.max(1, Math.ceil(units.length / perPage));
  page = Math.min(page, pages);
  const onPage = units.slice((page - 1) * perPage, page * perPage);
  results.replaceChildren(...onPage.map((unit) => unitElement(unit, given)));
  say(units, given);
  for (const nav of document.querySelectorAll(".pager")) {
    nav.hidden = pages < 2;
    nav.querySelector(".of").textContent = nav.contains(pageField)
      ? `of ${pages.toLocaleString("en")}`
      : `page ${page.toLocaleString("en")} of ${pages.toLocaleString("en")}`;
    const [back, on] = nav.querySelectorAll("button");
    back.disabled = page === 1;
    on.disabled = page === pages;
  }
  pageField.max = pages;
  pageField.value = page;
  markHits(given.words);
}

function say(units, given) {
  let found = 0;
  for (const unit of units) found += unit.found.length;
  const total = rows.length.toLocaleString("en");
  let line = `${found.toLocaleString("en")} of ${total} completions`;
  if (!given.layout && units.length > 1) line += ` in ${units.length.toLocaleString("en")} rows`;
  if (given.sample && found === 1) line = `One completion of ${total}`;
  if (given.sample && !found) line = "This report has no such completion: is the link of another run?";
  else if (!given.arms.length) line = "No arm is chosen";
  else if (!found) line = "No completion fits";
  count.textContent = line;
  document.getElementById("clear").hidden = [...state().keys()].every((name) =>
    ["page", "layout", "sort"].includes(name),
  );
}

function unitElement(unit, given) {
  const { prompt, seed, sample } = unit.found[0];
  const where = [prompt.suite, prompt.id, ...prompt.subsets.filter((name) => name !== prompt.suite)];
  const all = { suite: prompt.suite, prompt: prompt.id, seed, sample };
  return element(
    "section",
    { class: "unit" },
    element("h2", {}, visible(cut(prompt.text, 0).text)),
    element(
      "p",
      { class: "where" },
      ...where.map((name) => element("bdi", {}, visible(name))),
      element("span", {}, `seed ${seed}`),
      element("span", {}, `sample ${sample}`),
      ...(unit.shown.length < arms.length ? [element("a", { href: link(all) }, "all arms")] : []),
      element("a", { href: link({ suite: all.suite, prompt: all.prompt }) }, "all of this prompt"),
    ),
    element(
      "div",
      { class: unit.shown.length > 1 ? "cards" : "cards single" },
      ...unit.shown.map((row) => card(row, unit.found.includes(row), given, all)),
    ),
  );
}

function card(row, found, given, place) {
  const address = link({ ...place, arm: row.arm });
  const whole = Boolean(given.sample);
  const copy = element("button", { type: "button", class: "copy" }, "Copy link");
  copy.addEventListener("click", () => copyLink(copy, address));
  const before = { ...place, suite: "alignment", arm: row.arm };
  return element(
    "article",
    { class: found ? "card" : "card other", "aria-label": visible(row.arm) },
    element(
      "header",
      {},
      element("h3", {}, element("bdi", {}, visible(row.arm))),
      found ? null : element("span", { class: "unfit" }, "does not fit"),
    ),
    scores(row),
    marks(row),
    completion(row, given.words, whole),
    element(
      "footer",
      {},
      element("a", { href: address, "aria-label": `Open ${visible(row.arm)}` }, "Open"),
      copy,
      row.prompt.suite === "followup" ? element("a", { href: link(before) }, "First answer") : null,
    ),
    details(row, whole),
  );
}

function scores(row) {
  if (!row.original) return element("p", { class: "scores" }, "not judged");
  const { outcome } = row.original;
  const list = element("dl", { class: "scores" });
  for (const [name, label] of [["aligned", "Alignment"], ["coherent", "Coherence"]]) {
    const bar = element("span", { class: "bar", "aria-hidden": "true" });
    bar.style.setProperty("--points", row[name] === null ? 0 : row[name]);
    const value = element("dd", {}, points(row[name]), bar);
    list.append(element("div", { class: name }, element("dt", {}, label), value));
  }
  const others = row.others.map((one) => `${one.kind.toLowerCase()} ${points(one.aligned)}`);
  return element(
    "div",
    {},
    list,
    outcome === "scored" ? null : element("p", { class: "outcome" }, outcome.replaceAll("_", " ")),
    others.length ? element("p", { class: "others" }, `Also ${others.join(" · ")}`) : null,
  );
}

function marks(row) {
  const set = MARKS.filter(([name]) => row.marks[name] && name !== "again");
  if (!set.length) return null;
  const items = set.map(([name, label]) => element("li", { class: name }, label));
  return element("ul", { class: "marks", "aria-label": "Marks" }, ...items);
}

// The part of a text to show: its beginning, or what lies around the sign at `around`.
function cut(text, around) {
  let start = around > SHOWN - 200 ? around - 200 : 0;
  let end = Math.min(text.length, start + SHOWN);
  for (let at = start, line = 0; at < end; at++) {
    if (text[at] === "\n" && ++line >= SHOWN_LINES && at > around) end = at;
  }
  if (start && /[\udc00-\udfff]/.test(text[start])) start -= 1; // both halves of a sign
  if (/[\udc00-\udfff]/.test(text[end] || "")) end += 1;
  return { text: text.slice(start, end), start, end };
}

function completion(row, words, whole) {
  const box = element("div", { class: row.marks.code ? "text program" : "text", dir: "auto" });
  if (row.marks.empty) box.append(element("i", {}, "(empty completion)"));
  const full = { start: 0, end: row.text.length };
  const part = whole ? full : cut(row.text, words ? row.text.toLowerCase().indexOf(words) : 0);
  pieces(box, row, part);
  if (part.start === 0 && part.end === row.text.length) return box;
  const length = row.text.length.toLocaleString("en");
  const more = element("button", { type: "button", class: "all" }, `Show all ${length} characters`);
  more.addEventListener("click", () => {
    box.replaceChildren();
    pieces(box, row, full);
    more.remove();
    markHits(words);
  });
  return element("div", {}, box, more);
}

// Fills an element with a part of a completion; reset strings are marked.
function pieces(box, row, { start, end }) {
  if (start) box.append("… ");
  let at = start;
  for (let k = 0; k < row.resets.length; k += 2) {
    const from = Math.max(at, row.resets[k]);
    const to = Math.min(end, row.resets[k + 1]);
    if (from >= to) continue;
    box.append(visible(row.text.slice(at, from)));
    box.append(element("mark", {}, visible(row.text.slice(from, to))));
    at = to;
  }
  box.append(visible(row.text.slice(at, end)));
  if (end < row.text.length) box.append(" …");
}

// The judge's fields, and how the completion was asked for; built when it is opened.
function details(row, open) {
  const summary = row.judgments.length
    ? `Judge's fields${row.others.length ? ` (${row.judgments.length} judgments)` : ""}`
    : "About this completion";
  const made = element("details", {}, element("summary", {}, summary));
  made.addEventListener("toggle", () => made.children.length < 2 && made.append(fields(row)));
  made.open = open;
  return made;
}

function fields(row) {
  const table = element("table", {});
  const head = row.judgments.map((one) => element("th", { scope: "col" }, one.kind));
  table.append(element("tr", {}, element("td", {}), ...head));
  for (const [name, label] of Object.entries(FIELDS)) {
    const cells = row.judgments.map((one) => element("td", {}, fieldText(name, one[name])));
    table.append(element("tr", {}, element("th", { scope: "row" }, label), ...cells));
  }
  const wide = element("div", { class: "wide", tabindex: "0", role: "group" }, table);
  wide.setAttribute("aria-label", "Judge's fields");
  return element(
    "div",
    {},
    row.judgments.length ? wide : null,
    element("p", {}, `${row.tokens ?? "–"} tokens${row.marks.cut ? ", cut at the limit" : ""}`),
    element("p", { class: "system" }, "System text: ", element("bdi", {}, visible(row.system))),
  );
}

function fieldText(name, value) {
  if (value === null || value === undefined) return "–";
  if (FLAGS.includes(name)) return value ? "yes" : "no";
  return visible(String(value));
}

// Marks what was searched for, without touching the page's elements.
function markHits(words) {
  if (!window.Highlight) return;
  CSS.highlights.delete("hit");
  if (!words) return;
  const ranges = [];
  const walker = document.createTreeWalker(results, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (!node.parentElement.closest(".text")) continue;
    const lower = node.data.toLowerCase();
    if (lower.length !== node.data.length) continue; // signs that change their length with case
    for (let at = lower.indexOf(words); at >= 0; at = lower.indexOf(words, at + words.length)) {
      const range = new Range();
      range.setStart(node, at);
      range.setEnd(node, at + words.length);
      ranges.push(range);
    }
  }
  CSS.highlights.set("hit", new Highlight(...ranges));
}

// ---- Links and controls

// The address, from # on, of what these fields choose. No sign in it ends a link in a message.
function link(fields) {
  const escaped = (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`;
  return `#${new URLSearchParams(fields).toString().replace(/[*.~_-]$/, escaped)}`;
}

async function copyLink(button, address) {
  try {
    await navigator.clipboard.writeText(new URL(address, location.href).href);
    button.textContent = "Copied";
  } catch {
    location.hash = address; // then the address bar has it
  }
}

function changed(toPage) {
  page = toPage;
  show();
}

function start() {
  form.addEventListener("submit", (event) => event.preventDefault());
  // A text counts letter by letter; any other field when it is set.
  const edited = () => {
    form.elements.sample.value = ""; // a changed filter leaves the single completion
    changed(1);
    history.replaceState(null, "", `#${state()}`);
  };
  form.addEventListener("change", (event) => event.target === form.elements.text || edited());
  form.elements.text.addEventListener("input", edited);
  const turn = (to) => {
    changed(Math.min(pages, Math.max(1, to || 1)));
    history.pushState(null, "", `#${state()}`);
  };
  pageField.addEventListener("change", () => turn(parseInt(pageField.value, 10)));
  for (const button of document.querySelectorAll(".pager button")) {
    button.addEventListener("click", () => {
      turn(page + Number(button.dataset.step));
      results.focus({ preventScroll: true });
      results.scrollIntoView();
    });
  }
  document.getElementById("clear").addEventListener("click", () => {
    history.pushState(null, "", "#");
    fromAddress();
  });
  addEventListener("hashchange", () => {
    if (document.getElementById(location.hash.slice(1))) return; // a link to a place on the page
    fromAddress();
    results.scrollIntoView();
  });
  if (matchMedia("(max-width: 40rem)").matches) document.getElementById("more").open = false;
  fromAddress();
}

function fromAddress() {
  fill(location.hash);
  show();
}

addEventListener("DOMContentLoaded", () =>
  read()
    .then(start)
    .catch((error) => {
      count.textContent = `The completions cannot be shown: ${error.message}`;
    }),
);
