// Data of the sample browser: unpacked, and joined with its judgments.
"use strict";

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
