"use strict";
// The drawing board: strokes become a small picture, the picture an answer.

const known = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const sheet = at("sheet");
const SENT = 224; // pixels of the picture that is sent: eight for one of the network's
const PEN = 0.07; // of the sheet's side; MNIST's strokes are about two of 28 pixels

let strokes = []; // each a list of [x, y], from 0 to 1 of the sheet
let pen = null; // the pointer that draws the last stroke; none where that is taken from under it
let picture = null; // a file that was opened, pasted or dropped
let shown = null; // the same, decoded, to be painted on the sheet
let busy = false;
let changed = false;

const isEmpty = () => strokes.length === 0 && picture === null;

// ---- drawing

function paint(canvas) {
  const context = canvas.getContext("2d");
  const side = canvas.width;
  context.clearRect(0, 0, side, side);
  if (shown) {
    const scale = Math.min(side / shown.width, side / shown.height);
    const [width, height] = [shown.width * scale, shown.height * scale];
    context.drawImage(shown, (side - width) / 2, (side - height) / 2, width, height);
  }
  context.lineWidth = PEN * side;
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = "#111";
  for (const stroke of strokes) trace(context, stroke.map(([x, y]) => [x * side, y * side]));
}

function trace(context, points) {
  const last = points[points.length - 1];
  context.beginPath();
  context.moveTo(...points[0]);
  for (let i = 1; i < points.length - 1; i += 1) {
    const middle = [0, 1].map((axis) => (points[i][axis] + points[i + 1][axis]) / 2);
    context.quadraticCurveTo(...points[i], ...middle); // corners of a fast hand rounded off
  }
  context.lineTo(...last);
  context.stroke();
}

function repaint() {
  sheet.classList.toggle("ink", shown === null);
  at("invite").hidden = !isEmpty();
  at("undo").disabled = strokes.length === 0;
  at("clear").disabled = isEmpty();
  paint(sheet);
}

function fit() {
  const side = Math.max(1, Math.round(sheet.clientWidth * devicePixelRatio));
  sheet.width = sheet.height = side;
  repaint();
}

function place(event) {
  const box = sheet.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

sheet.addEventListener("pointerdown", (event) => {
  if (pen !== null || event.button !== 0) return;
  event.preventDefault();
  pen = event.pointerId;
  sheet.setPointerCapture(pen);
  picture = shown = null;
  strokes.push([place(event)]);
  repaint();
});

sheet.addEventListener("pointermove", (event) => {
  if (event.pointerId !== pen) return;
  const passed = event.getCoalescedEvents();
  strokes[strokes.length - 1].push(...(passed.length ? passed : [event]).map(place));
  repaint();
  ask();
});

for (const end of ["pointerup", "pointercancel"]) {
  sheet.addEventListener(end, (event) => {
    if (event.pointerId !== pen) return;
    pen = null;
    ask();
  });
}

function clear() {
  pen = null;
  strokes = [];
  picture = shown = null;
  repaint();
  ask();
}

function undo() {
  pen = null;
  strokes.pop();
  repaint();
  ask();
}

at("clear").addEventListener("click", clear);
at("undo").addEventListener("click", undo);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !isEmpty()) clear();
  if (event.key === "z" && (event.ctrlKey || event.metaKey) && strokes.length) undo();
});

// ---- pictures

async function take(file) {
  if (!known.types.includes(file.type)) return refuse("This is no PNG or JPEG picture.");
  if (file.size > known.largest) return refuse("This picture is too large: 16 MB at most.");
  const decoded = await createImageBitmap(file).catch(() => null);
  if (decoded === null) return refuse("This picture is damaged.");
  pen = null;
  strokes = [];
  [picture, shown] = [file, decoded];
  repaint();
  return ask();
}

at("open").addEventListener("click", () => at("file").click());
at("file").addEventListener("change", () => {
  if (at("file").files.length) take(at("file").files[0]);
  at("file").value = ""; // the same file may be opened again
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) take(event.clipboardData.files[0]);
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
}

// ---- asking: one question at a time, and another when something changed meanwhile

async function ask() {
  changed = true;
  if (busy) return;
  busy = true;
  while (changed) {
    changed = false;
    await askOnce();
  }
  busy = false;
}

async function askOnce() {
  if (isEmpty()) return showNothing();
  const begun = performance.now();
  const body = picture ?? drawn();
  try {
    const response = await fetch("/read", {
      method: "POST",
      headers: { "Content-Type": body.type },
      body,
    });
    const answer = await response.json();
    if (isEmpty()) return showNothing(); // cleared meanwhile
    if (!response.ok) return refuse(answer.error);
    show(answer);
    at("time").textContent = `The last answer took ${Math.round(performance.now() - begun)} ms.`;
  } catch {
    refuse("No answer: is the command that serves this page still running?");
  }
  return null;
}

function drawn() {
  const small = document.createElement("canvas");
  small.width = small.height = SENT;
  paint(small);
  // Not toBlob: Chromium puts it off for a second while a hand is drawing.
  const text = small.toDataURL("image/png").split(",")[1];
  return new Blob([bytesOf(text)], { type: "image/png" });
}

const bytesOf = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

// ---- showing

const element = (name, text = "", style = "") => {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = style;
  return made;
};

const best = (proba) => proba.indexOf(Math.max(...proba));

function percent(chance) {
  if (chance > 0.9995) return ">99.9 %";
  if (chance < 0.0005) return "<0.1 %";
  return `${(100 * chance).toFixed(1)} %`;
}

function showNothing() {
  at("refused").hidden = at("more").hidden = true;
  at("glyph").textContent = "?";
  at("glyph").classList.add("none");
  at("sure").textContent = "Nothing drawn yet";
  at("agree").textContent = "An empty sheet is not a digit.";
  at("spoken").textContent = "";
  at("key").textContent = "";
  showBars(null, []);
}

function refuse(reason) {
  showNothing();
  at("sure").textContent = "No answer";
  at("agree").textContent = "";
  at("refused").textContent = reason[0].toUpperCase() + reason.slice(1);
  at("refused").hidden = false;
}

function show(answer) {
  at("refused").hidden = true;
  at("more").hidden = false;
  at("glyph").textContent = answer.label;
  at("glyph").classList.remove("none");
  at("sure").textContent = percent(answer.proba[answer.label]);
  at("agree").textContent = agreement(answer);
  if (pen === null) {
    at("spoken").textContent = `${answer.label}, ${at("sure").textContent}. ${agreement(answer)}`;
  }
  at("key").textContent = "Bars: the ensemble. Marks: each network.";
  showBars(answer.proba, answer.members);
  showPixels(at("image"), answer.image);
  showNeighbours(answer);
  showMembers(answer.members);
}

function agreement({ label, members }) {
  const others = members.map(best).filter((vote) => vote !== label);
  if (members.length === 1) return "There is one network.";
  if (others.length === 0) return `All ${members.length} networks agree.`;
  const said = [...new Set(others)].sort().join(" or ");
  const agreeing = members.length - others.length;
  const rest = others.length === 1 ? "the other says" : "the others say";
  return `${agreeing} of ${members.length} networks ${agreeing === 1 ? "says" : "say"} so, ${rest} ${said}.`;
}

function showBars(proba, members) {
  const rows = Array.from({ length: 10 }, (_, digit) => {
    const row = element("li", "", proba && digit === best(proba) ? "best" : "");
    const track = element("span", "", "track");
    if (proba) {
      const fill = element("span", "", "fill");
      fill.style.width = `${100 * proba[digit]}%`;
      track.append(fill, ...members.map((member) => tick(member[digit])));
    }
    const value = element("span", proba ? percent(proba[digit]) : "", "value");
    row.append(element("b", digit), track, value);
    return row;
  });
  at("bars").replaceChildren(...rows);
}

function tick(chance) {
  const mark = element("span", "", "tick");
  mark.style.left = `${100 * chance}%`;
  mark.hidden = chance < 0.005; // ten at the left edge would only look like an axis
  return mark;
}

function showPixels(canvas, text) {
  const image = new ImageData(28, 28);
  bytesOf(text).forEach((light, pixel) => {
    image.data.set([light, light, light, 255], 4 * pixel);
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function showNeighbours({ label, neighbours }) {
  at("near").hidden = neighbours.length === 0;
  const tiles = neighbours.map((near) => {
    const tile = element("li", "", near.label === label ? "" : "other");
    const canvas = element("canvas", "", "pixels");
    canvas.width = canvas.height = 28;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Image of training row ${near.row}`);
    showPixels(canvas, near.image);
    tile.append(canvas, element("strong", near.label), `row ${near.row.toLocaleString("en")}`);
    return tile;
  });
  at("tiles").replaceChildren(...tiles);
}

function showMembers(members) {
  const head = element("thead");
  const digits = element("tr");
  digits.append(element("th", "network"), ...Array.from({ length: 10 }, (_, d) => element("th", d)));
  head.append(digits);
  for (const cell of digits.children) cell.scope = "col";
  const body = element("tbody");
  body.append(...members.map((proba, index) => memberRow(known.members[index], proba)));
  at("heat").replaceChildren(head, body);
}

function memberRow(name, proba) {
  const row = element("tr");
  const head = element("th", name);
  head.scope = "row";
  row.append(head, ...proba.map(heatCell));
  return row;
}

function heatCell(chance) {
  const cell = element("td", chance < 0.005 ? "" : Math.round(100 * chance));
  // Past one half, full colour with its own ink: between the two, no ink is dark or light enough.
  const share = chance > 0.5 ? 100 : 8 + 70 * chance;
  cell.style.background = `color-mix(in srgb, var(--accent) ${share}%, var(--card))`;
  if (chance > 0.5) cell.style.color = "var(--on-accent)";
  return cell;
}

// ---- beginning

const count = known.members.length;
const answering = count === known.of ? `${count}` : `${count} of ${known.of}`;
at("run").textContent = `${known.run} · ${answering} network${known.of === 1 ? "" : "s"}`;
showNothing();
new ResizeObserver(fit).observe(sheet);
fit();
