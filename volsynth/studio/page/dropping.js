// Where files come from: they are chosen, pasted, or dropped anywhere on the page.

import { $, on } from "./elements.js";

const POSES = ".json,application/json,.csv,text/csv";
const PICTURES = `image/*,${POSES}`;

// A file that is dropped before the page listens must not take its place.
export function holdThePage() {
  for (const kind of ["dragover", "drop"]) {
    document.addEventListener(kind, (event) => event.preventDefault());
  }
}

// take(files): is told what comes.
export function listenForFiles(take) {
  const some = (files) => files.length && take(files);
  listenToChooser(some);
  document.addEventListener("paste", (event) => some(event.clipboardData.files));
  let inside = 0;
  const isFile = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragenter", (event) => {
    if (isFile(event) && ++inside === 1) $("dropping").hidden = false;
  });
  document.addEventListener("dragleave", (event) => {
    if (isFile(event) && --inside === 0) $("dropping").hidden = true;
  });
  document.addEventListener("drop", (event) => {
    inside = 0;
    $("dropping").hidden = true;
    some(event.dataTransfer.files);
  });
}

function listenToChooser(take) {
  const chooser = $("files");
  const choose = (accept, multiple) => () => {
    chooser.accept = accept;
    chooser.multiple = multiple;
    chooser.value = "";
    chooser.click();
  };
  on("choose", "click", choose(PICTURES, true));
  on("choose-mask", "click", choose("image/*", false));
  on("another", "click", choose(PICTURES, true));
  on("open-pose", "click", choose(POSES, false));
  on("files", "change", () => take(chooser.files));
}
