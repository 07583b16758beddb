// The drawing board: strokes become a small picture, the picture an answer.

const sheet = byId("sheet");
const SENT = 224; // pixels of the picture that is sent: eight for one of the network's

let strokes = []; // each a list of [x, y], from 0 to 1 of the sheet
let pen = null; // the pointer that draws the last stroke; none where that is taken from under it
let picture = null; // a file that was opened, pasted or dropped
let shown = null; // the same, decoded, to be painted on the sheet
let answered = []; // the digits of the last answer, from left to right
let busy = false;
let changed = false;

const run = () => data.runs[byId("run").selectedIndex];
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
  context.lineWidth = (byId("width").value / 100) * side; // at 7, as wide as MNIST's strokes
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = "#111";
  for (const stroke of strokes) trace(context, stroke.map(([x, y]) => [x * side, y * side]));
}

function trace(context, points) {
  context.beginPath();
  context.moveTo(...points[0]);
  for (let i = 1; i < points.length - 1; i += 1) {
    const middle = [0, 1].map((axis) => (points[i][axis] + points[i + 1][axis]) / 2);
    context.quadraticCurveTo(...points[i], ...middle); // corners of a fast hand rounded off
  }
  context.lineTo(...points.at(-1));
  context.stroke();
}

function repaint() {
  sheet.classList.toggle("ink", shown === null);
  byId("invite").hidden = !isEmpty();
  byId("undo").disabled = strokes.length === 0;
  byId("clear").disabled = isEmpty();
  paint(sheet);
}

function fit() {
  sheet.width = sheet.height = Math.max(1, Math.round(sheet.clientWidth * devicePixelRatio));
  repaint();
}

function position(event) {
  const box = sheet.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

sheet.addEventListener("pointerdown", (event) => {
  if (pen !== null || event.button !== 0) return;
  event.preventDefault();
  pen = event.pointerId;
  sheet.setPointerCapture(pen);
  picture = shown = null;
  strokes.push([position(event)]);
  repaint();
});

sheet.addEventListener("pointermove", (event) => {
  if (event.pointerId !== pen) return;
  const passed = event.getCoalescedEvents();
  strokes.at(-1).push(...(passed.length ? passed : [event]).map(position));
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

// Whatever replaces what is on the sheet takes it from under the pen.
function replace(newStrokes, file = null, decoded = null) {
  pen = null;
  [strokes, picture, shown] = [newStrokes, file, decoded];
  repaint();
  return ask();
}

const clear = () => replace([]);
const undo = () => replace(strokes.slice(0, -1));
byId("clear").addEventListener("click", clear);
byId("width").addEventListener("input", () => { repaint(); ask(); });
byId("run").addEventListener("change", () => { showRun(); ask(); });
byId("undo").addEventListener("click", undo);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !isEmpty()) clear();
  if (event.key === "z" && (event.ctrlKey || event.metaKey) && strokes.length) undo();
});

// ---- pictures

async function take(file) {
  if (!data.types.includes(file.type)) return refuse("This is no PNG or JPEG picture.");
  if (file.size > data.largest) return refuse("This picture is too large: 16 MB at most.");
  const decoded = await createImageBitmap(file).catch(() => null);
  if (decoded === null) return refuse("This picture is damaged.");
  return replace([], file, decoded);
}

byId("open").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", () => {
  if (byId("file").files.length) take(byId("file").files[0]);
  byId("file").value = ""; // the same file may be opened again
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) take(event.clipboardData.files[0]);
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    byId("drop").classList.toggle("over", kind === "dragover");
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
    const response = await fetch(`/read?run=${encodeURIComponent(run().name)}`, { method: "POST", headers: { "Content-Type": body.type }, body });
    const answer = await response.json();
    if (isEmpty()) return showNothing(); // cleared meanwhile
    if (!response.ok) return refuse(answer.error);
    show(answer);
    write({ time: `The last answer took ${Math.round(performance.now() - begun)} ms.` });
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

const best = (proba) => proba.indexOf(Math.max(...proba));

function percent(proba) {
  if (proba > 0.9995) return ">99.9 %";
  if (proba < 0.0005) return "<0.1 %";
  return `${(100 * proba).toFixed(1)} %`;
}

// Elements by their id, and their new text.
function write(texts) {
  for (const [id, text] of Object.entries(texts)) byId(id).textContent = text;
}

function showRun() {
  byId("weak").hidden = run().warning === "";
  byId("shipped").hidden = !run().shipped;
  write({ weak: `Do not trust these answers: ${run().warning}.` });
}

function showNothing(confidence = "Nothing drawn yet", agree = "An empty sheet is not a digit.") {
  for (const id of ["refused", "more", "seen", "digits"]) byId(id).hidden = true;
  byId("glyph").className = "glyph none";
  write({ glyph: "?", confidence, agree, spoken: "", key: "" });
  showBars(null, []);
}

function refuse(reason) {
  showNothing("No answer", "");
  write({ refused: reason[0].toUpperCase() + reason.slice(1) });
  byId("refused").hidden = false;
}

function show(answer) {
  answered = answer.digits;
  const { members, of } = answer;
  write({
    glyph: answered.map(({ label }) => label).join(""),
    count: members.length === of ? `${of} network${of === 1 ? "" : "s"}` : `${members.length} of ${of} networks`,
    key: "Bars: the ensemble. Marks: each network.",
  });
  byId("refused").hidden = true;
  byId("more").hidden = byId("seen").hidden = false;
  byId("digits").hidden = answered.length === 1;
  byId("digits").replaceChildren(...answered.map((digit, index) => {
    const button = html("button", { type: "button" }, digit.label);
    button.addEventListener("click", () => showDigit(index, members));
    return button;
  }));
  // Of several digits, the least certain one is shown first.
  const certainty = answered.map(({ proba, label }) => proba[label]);
  const first = certainty.indexOf(Math.min(...certainty));
  showDigit(first, members);
  if (pen === null) write({ spoken: `${byId("glyph").textContent}, ${byId("confidence").textContent}. ${byId("agree").textContent}` });
}

function showDigit(index, members) {
  const digit = answered[index], { label, proba, doubt } = digit;
  const unsure = answered.some((other) => other.doubt);
  byId("glyph").className = `glyph${answered.length > 1 ? " many" : ""}${unsure ? " unsure" : ""}`;
  byId("bars").classList.toggle("unsure", doubt !== "");
  const of = answered.length > 1 ? `${label}: ` : "";
  write({ confidence: `${of}${doubt ? `${doubt}?` : percent(proba[label])}`.replace(/^n/, "N"), agree: agreement(digit) });
  press(byId("digits").children, byId("digits").children[index]);
  showBars(proba, digit.members, members);
  showPixels(byId("image"), digit.image);
  showNeighbours(digit);
}

function agreement({ label, members }) {
  const others = members.map(best).filter((vote) => vote !== label);
  if (members.length === 1) return "There is one network.";
  if (others.length === 0) return `${members.length === 2 ? "Both" : `All ${members.length}`} networks agree.`;
  const agreeing = members.length - others.length;
  const predict = (count) => (count === 1 ? "predicts" : "predict");
  const digits = [...new Set(others)].sort().join(" or ");
  return `${agreeing} of ${members.length} networks ${predict(agreeing)} it, ${others.length} ${predict(others.length)} ${digits}.`;
}

function showBars(proba, members, names) {
  const rows = DIGITS.map((digit) => {
    const track = html("span", { class: "track" });
    if (proba) track.append(html("span", { class: "fill", style: `width: ${100 * proba[digit]}%` }));
    members.forEach((member, index) => {
      // Ten at the left edge would only look like an axis.
      const left = `left: ${100 * member[digit]}%`;
      if (member[digit] >= 0.005) track.append(html("span", { class: "tick", style: left, title: names[index] }));
    });
    const value = html("span", { class: "value" }, proba ? percent(proba[digit]) : "");
    return html("li", { class: proba && digit === best(proba) ? "best" : "" }, html("b", {}, digit), track, value);
  });
  byId("bars").replaceChildren(...rows);
}

function showPixels(canvas, text) {
  const image = new ImageData(28, 28);
  bytesOf(text).forEach((light, pixel) => image.data.set([light, light, light, 255], 4 * pixel));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function showNeighbours({ label, neighbours }) {
  byId("near").hidden = neighbours.length === 0;
  const tiles = neighbours.map((near) => {
    const canvas = html("canvas", { class: "pixels", width: 28, height: 28, role: "img", "aria-label": `Image of training row ${near.row}` });
    showPixels(canvas, near.image);
    const style = near.label === label ? "" : "other";
    return html("li", { class: style }, canvas, html("strong", {}, near.label), `row ${near.row.toLocaleString("en")}`);
  });
  byId("tiles").replaceChildren(...tiles);
}

// ---- beginning

byId("run").replaceChildren(...data.runs.map(({ name, accuracy }) => html("option", {}, `${name} (accuracy ${accuracy})`)));
showRun();
showNothing();
new ResizeObserver(fit).observe(sheet);
fit();
