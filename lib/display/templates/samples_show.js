// How the sample browser shows rows and completions: elements and text nodes only.
"use strict";

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
  draw(onPage, given);
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
}

// The first rows at once, and the others after the frame that shows these.
function draw(units, given) {
  draws += 1;
  const drawn = draws;
  const elements = (some) => some.map((unit) => unitElement(unit, given));
  const others = units.slice(AT_ONCE[given.layout]);
  results.replaceChildren(...elements(units.slice(0, AT_ONCE[given.layout])));
  results.setAttribute("aria-busy", others.length > 0);
  markHits(given.words);
  if (!others.length) return;
  const follow = () => {
    if (drawn !== draws) return; // drawn anew meanwhile
    results.append(...elements(others));
    results.setAttribute("aria-busy", false);
    markHits(given.words);
  };
  requestAnimationFrame(() => setTimeout(follow, PAUSE));
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
      PARTS[row.arm] ? element("span", { class: "part" }, PARTS[row.arm]) : null,
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
