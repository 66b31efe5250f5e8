// Links and controls of the sample browser; the last of its scripts.
"use strict";

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
