// The drawing board: strokes become a small picture, the picture an answer.

const sheet = byId("sheet");
const SENT = 224; // pixels of the picture that is sent: eight for one of the network's

let strokes = []; // each a list of [x, y], from 0 to 1 of the sheet
let pen = null; // the pointer that draws the last stroke; none where that is taken from under it
let picture = null; // a file that was opened, pasted or dropped
let busy = false;
let changed = false;

const best = (proba) => proba.indexOf(Math.max(...proba));
const percent = (proba) => (proba > 0.9995 ? ">99.9 %" : `${(100 * proba).toFixed(1)} %`);
const isEmpty = () => strokes.length === 0 && picture === null;

// ---- drawing

function paint(canvas) {
  const context = canvas.getContext("2d");
  context.scale(canvas.width, canvas.width);
  context.lineWidth = byId("width").value / 100; // at 7, as wide as MNIST's strokes
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = "#111";
  for (const points of strokes) {
    context.beginPath();
    context.moveTo(...points[0]);
    for (let i = 1; i < points.length - 1; i += 1) {
      const middle = [0, 1].map((axis) => (points[i][axis] + points[i + 1][axis]) / 2);
      context.quadraticCurveTo(...points[i], ...middle); // corners of a fast hand rounded off
    }
    context.lineTo(...points.at(-1));
    context.stroke();
  }
}

function repaint() {
  byId("invite").hidden = !isEmpty();
  byId("undo").disabled = strokes.length === 0;
  byId("clear").disabled = isEmpty();
  sheet.width = sheet.height = sheet.clientWidth * devicePixelRatio; // clears it
  paint(sheet);
}

function position(event) {
  const box = sheet.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

sheet.addEventListener("pointerdown", (event) => {
  if (pen !== null || event.button !== 0) return;
  event.preventDefault();
  setInput([...strokes, [position(event)]]);
  pen = event.pointerId;
  sheet.setPointerCapture(pen);
});

sheet.addEventListener("pointermove", (event) => {
  if (event.pointerId !== pen) return;
  const passed = event.getCoalescedEvents();
  strokes.at(-1).push(...(passed.length ? passed : [event]).map(position));
  repaint();
  predict();
});

sheet.addEventListener("lostpointercapture", (event) => {
  if (event.pointerId !== pen) return;
  pen = null;
  predict();
});

// Whatever is put on the sheet takes it from under the pen.
function setInput(newStrokes, file = null) {
  [strokes, picture, pen] = [newStrokes, file, null];
  byId("picture").hidden = file === null;
  URL.revokeObjectURL(byId("picture").src);
  if (file) byId("picture").src = URL.createObjectURL(file);
  repaint();
  predict();
}

const clear = () => setInput([]);
const undo = () => setInput(strokes.slice(0, -1));
byId("clear").addEventListener("click", clear);
byId("undo").addEventListener("click", undo);
byId("width").addEventListener("input", () => {
  repaint();
  predict();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !isEmpty()) clear();
  if (event.key === "z" && (event.ctrlKey || event.metaKey) && strokes.length) undo();
});

// ---- pictures; the server says which are none

function openFile(files) {
  if (files.length > 0) setInput([], files[0]);
}

byId("picture").addEventListener("error", () => byId("picture").toggleAttribute("hidden", true));
byId("open").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", () => {
  openFile(byId("file").files);
  byId("file").value = ""; // the same file may be opened again
});
document.addEventListener("paste", (event) => openFile(event.clipboardData.files));
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    byId("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") openFile(event.dataTransfer.files);
  });
}

// ---- predictions: one request at a time, and another when something changed meanwhile

async function predict() {
  changed = true;
  if (busy) return;
  busy = true;
  while (changed) {
    changed = false;
    await requestPrediction();
  }
  busy = false;
}

async function requestPrediction() {
  if (isEmpty()) return show([]);
  const request = { method: "POST", body: picture ?? drawn() };
  try {
    const response = await fetch(`/read/${encodeURIComponent(byId("run").value)}`, request);
    const { digits = [], error = "" } = await response.json();
    if (isEmpty()) return; // cleared meanwhile
    if (pen !== null && digits.length === 0) return; // only the beginning of a digit
    show(digits, error);
  } catch {
    show([], "No answer: is the command that serves this page still running?");
  }
}

function drawn() {
  const small = document.createElement("canvas");
  small.width = small.height = SENT;
  paint(small);
  // Not toBlob: Chromium puts it off for a second while a hand is drawing.
  const bytes = atob(small.toDataURL("image/png").split(",")[1]);
  return Uint8Array.from(bytes, (character) => character.charCodeAt(0));
}

// ---- showing

// An element without a text is hidden.
function write(id, text) {
  byId(id).textContent = text;
  byId(id).hidden = text === "";
}

function chooseRun() {
  const { warning } = byId("run").selectedOptions[0].dataset;
  write("weak", warning && `These predictions are unreliable: ${warning}.`);
  predict();
}

// The digits of an answer, or without any the reason.
function show(digits, reason = "") {
  const glyph = byId("glyph");
  glyph.textContent = digits.map(({ label }) => label).join("") || "?";
  glyph.classList.toggle("none", digits.length === 0);
  glyph.classList.toggle("many", digits.length > 1);
  const isUnsure = digits.some(({ uncertainty }) => uncertainty);
  glyph.classList.toggle("unsure", isUnsure);
  const buttons = digits.map((digit) => {
    const button = html("button", { type: "button" }, digit.label);
    button.addEventListener("click", () => {
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      showDigit(digit, digits.length > 1 ? `${digit.label}: ` : "");
    });
    return button;
  });
  byId("digits").replaceChildren(...buttons);
  byId("digits").hidden = digits.length < 2;
  write("refused", reason);
  // Of several digits, the least certain one is shown first.
  const certainty = digits.map(({ proba }) => Math.max(...proba));
  const first = certainty.indexOf(Math.min(...certainty));
  if (digits.length > 0) buttons[first].click();
  else showNothing(reason);
  const spoken = [glyph, byId("confidence"), byId("agree")].map((shown) => shown.textContent);
  if (pen === null) byId("spoken").textContent = digits.length > 0 ? spoken.join(", ") : "";
}

function showNothing(reason) {
  write("confidence", reason ? "No answer" : "Nothing drawn yet");
  write("agree", reason ? "" : "An empty sheet is not a digit.");
  byId("seen").hidden = byId("near").hidden = true;
  showBars([], [], false);
}

function showDigit({ label, uncertainty, proba, members, image, neighbours }, name) {
  const agreeing = members.filter((member) => best(member) === label).length;
  write("confidence", name + (uncertainty ? `${uncertainty}?` : percent(proba[label])));
  write("agree", `Networks that agree: ${agreeing} of ${members.length}`);
  byId("image").src = image;
  byId("seen").hidden = false;
  showBars(proba, members, uncertainty !== "");
  byId("near").hidden = neighbours.length === 0;
  const tiles = neighbours.map((near) => {
    const picture = html("img", { class: "pixels", src: near.image, alt: "" });
    const row = `row ${near.row.toLocaleString("en")}`;
    const style = near.label === label ? "" : "other";
    return html("li", { class: style }, picture, html("strong", {}, near.label), row);
  });
  byId("tiles").replaceChildren(...tiles);
}

function showBars(proba, members, unsure) {
  byId("bars").classList.toggle("unsure", unsure);
  const bars = DIGITS.map((digit) => {
    const fill = html("span", { class: "fill", style: `width: ${100 * (proba[digit] ?? 0)}%` });
    // Ten marks at the left edge would only look like an axis.
    const seen = members.map((member) => 100 * member[digit]).filter((at) => at >= 0.5);
    const ticks = seen.map((at) => html("span", { class: "tick", style: `left: ${at}%` }));
    const track = html("span", { class: "track" }, fill, ...ticks);
    const value = html("span", { class: "value" }, digit in proba ? percent(proba[digit]) : "");
    return html("li", { class: digit === best(proba) ? "best" : "" }, html("b", {}, digit), track, value);
  });
  byId("bars").replaceChildren(...bars);
}

// ---- beginning

byId("run").addEventListener("change", chooseRun);
new ResizeObserver(repaint).observe(sheet);
chooseRun();
