// The sample browser of the report: every completion of a run beside those of the other arms.
//
// Completions are hostile. They come as base64 of gzipped JSON in files that call samplesChunk, and
// they enter the page as text nodes only: nothing here parses HTML, and nothing is loaded.
// The form is the whole state. It is written to the address after # and read from there, so every
// view, and every single completion, has a link. The other samples_*.js share what stands here.
"use strict";

const PER_PAGE = { "": 8, list: 30 }; // rows of a page, by layout
const AT_ONCE = { "": 1, list: 3 }; // of these, the rows that are drawn first
const PAUSE = 50; // milliseconds until the others follow; the next letter may come sooner
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
// The part of each arm in a word, where it has one.
const PARTS = Object.fromEntries(
  [...form.querySelectorAll("[name=arm]")].map((field) => [field.value, field.dataset.part]),
);
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
let draws = 0; // how often the page was drawn

// The one function that a data file calls.
function samplesChunk(number, packed) {
  chunks[number] = packed;
}
