(() => {
"use strict";
const box = document.getElementById("review"), form = document.getElementById("marking");
const articles = [...box.querySelectorAll("article")];
const buttons = [...form.querySelectorAll("[data-mark]")];
const note = document.getElementById("note"), told = document.getElementById("told");
const sample = box.dataset.sample, place = "review " + sample;
const ids = articles.map(article => article.dataset.id);
const read = new Map();
let at = 0, kept = true;

// What an earlier visit left in this browser. Anything that is not of this sample is dropped.
const recall = () => {
  const known = buttons.map(button => button.dataset.mark);
  try {
    const rows = JSON.parse(localStorage.getItem(place) || "[]");
    for (const row of rows) {
      if (!ids.includes(row.id)) continue;
      read.set(row.id, {marks: known.filter(mark => row.marks.includes(mark)),
                        note: String(row.note)});
    }
  } catch { kept = false; }
};
const rows = () => ids.filter(id => read.has(id)).map(id => ({sample, id, ...read.get(id)}));
const keep = () => {
  try { localStorage.setItem(place, JSON.stringify(rows())); } catch { kept = false; }
};
const press = (button, on) => button.setAttribute("aria-pressed", on);
const pressed = button => button.getAttribute("aria-pressed") === "true";
const say = text => { told.textContent = text; };

const show = () => {
  articles.forEach((article, k) => { article.hidden = k !== at; });
  const now = read.get(ids[at]) || {marks: [], note: ""};
  buttons.forEach(button => press(button, now.marks.includes(button.dataset.mark)));
  note.value = now.note;
  document.getElementById("place").textContent = `Answer ${at + 1} of ${ids.length}.`;
  const state = read.has(ids[at]) ? " This one is saved." : "";
  const lost = kept ? "" : " This browser keeps nothing: save the file before you leave.";
  document.getElementById("count").textContent = `${read.size} read.${state}${lost}`;
};
const keepThis = () => {
  const marks = buttons.filter(pressed).map(button => button.dataset.mark);
  read.set(ids[at], {marks, note: note.value.toWellFormed ? note.value.toWellFormed() : note.value});
  keep();
};
const move = step => {
  if (read.has(ids[at]) || note.value || buttons.some(pressed)) keepThis();
  at = Math.min(Math.max(at + step, 0), ids.length - 1);
  show();
};
const save = () => {
  keepThis();
  const left = ids.length - read.size;
  say(left ? "" : "All answers are read: save the file.");
  note.blur();
  if (at + 1 < ids.length) move(1); else show();
};
const download = () => {
  const lines = rows().map(row => JSON.stringify(row) + "\n").join("");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([lines], {type: "application/jsonl"}));
  link.download = `review-${box.dataset.run}.jsonl`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  const left = ids.length - read.size;
  say(left ? `Saved ${read.size} answers; ${left} are not read yet.` : "Saved all answers.");
};

buttons.forEach(button => button.addEventListener("click", () => press(button, !pressed(button))));
document.getElementById("back").addEventListener("click", () => move(-1));
document.getElementById("save").addEventListener("click", download);
form.addEventListener("submit", event => { event.preventDefault(); save(); });
document.addEventListener("keydown", event => {
  if (event.altKey || event.metaKey) return;
  const writes = event.target === note;
  if (event.key === "Escape" && writes) { note.blur(); return; }
  if (event.key === "Enter" && (!writes || event.ctrlKey)) {
    if (event.target.closest("a, summary, #back, #save")) return;  // Enter presses those
    event.preventDefault();
    save();
    return;
  }
  if (writes || event.ctrlKey) return;
  const button = buttons[Number(event.key) - 1];
  if (button) press(button, !pressed(button));
  else if (event.key === "ArrowRight") move(1);
  else if (event.key === "ArrowLeft") move(-1);
});
recall();
show();
})();
