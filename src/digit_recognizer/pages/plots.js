"use strict";
// Plots as SVG, drawn for the width that there is, and again when it changes.

function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const percent = (share, digits = 2) => `${(100 * share).toFixed(digits)}\u00a0%`;

// An axis maps values to 0..1. `ticks` are values; `show` writes them.
const linear = (low, high, ticks, show) => ({ at: (v) => (v - low) / (high - low), ticks, show });

function evenly(low, high, count) {
  const rough = (high - low || Math.abs(high) || 1) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= rough * 0.999);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) ticks.push(k * step);
  return ticks;
}

// Losses: each tenfold takes the same room. The smallest value that counts is 1e-5.
function logarithmic(values) {
  const at = (v) => Math.log10(Math.max(v, 1e-5));
  const least = Math.min(...values.map(at)), most = Math.max(...values.map(at), least + 0.3);
  const edge = 0.05 * (most - least), low = least - edge, high = most + edge;
  const ticks = [];
  for (let power = -5; power < 4; power++) {
    for (const k of high - low > 2 ? [1] : [1, 2, 5]) ticks.push(k * 10 ** power);
  }
  const inside = ticks.filter((t) => at(t) >= low && at(t) <= high);
  return { at: (v) => (at(v) - low) / (high - low), ticks: inside, show: (t) => `${Number(t.toPrecision(1))}` };
}

// Accuracies: each halving of the errors takes the same room, so 99 % and 99.9 % lie apart.
function nines(values) {
  const errors = logarithmic(values.map((v) => 1 - v));
  const ticks = errors.ticks.map((t) => 1 - t);
  return { at: (v) => 1 - errors.at(1 - v), ticks, show: (t) => `${Number((100 * t).toFixed(3))} %` };
}

// A frame with axes. `draw(frame)` adds what belongs inside; `meaning` is for screen readers.
function plot(host, { x, y, xName, meaning, ratio = 0.62, left = 52 }, draw) {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("aria-hidden", "true"); // the table beside the plot holds the same values
  let width = 0;
  const redraw = () => {
    if (host.clientWidth === width) return;
    width = host.clientWidth;
    const height = Math.round(Math.max(220, Math.min(width * ratio, 420)));
    const root = svg("svg", { class: "plot", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": meaning });
    const px = (v) => left + x.at(v) * (width - left - 14);
    const py = (v) => height - 40 - y.at(v) * (height - 52);
    for (const tick of y.ticks) {
      root.append(
        svg("line", { class: "grid", x1: left, x2: width - 14, y1: py(tick), y2: py(tick) }),
        svg("text", { x: left - 8, y: py(tick) + 4, "text-anchor": "end" }, y.show(tick)),
      );
    }
    for (const tick of x.ticks) {
      root.append(svg("text", { x: px(tick), y: height - 22, "text-anchor": "middle" }, x.show(tick)));
    }
    root.append(
      svg("line", { class: "axis", x1: left, x2: width - 14, y1: height - 40, y2: height - 40 }),
      svg("text", { x: (left + width - 14) / 2, y: height - 4, "text-anchor": "middle" }, xName),
    );
    host.replaceChildren(root, tip);
    draw({ root, px, py, width, height, tip: (text, place) => say(tip, text, place, width) });
  };
  new ResizeObserver(redraw).observe(host);
}

function say(tip, text, place, width) {
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  tip.style.left = `${Math.max(0, Math.min(place.x + 12, width - tip.offsetWidth))}px`;
  tip.style.top = `${Math.max(0, place.y - tip.offsetHeight - 10)}px`;
}

const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");

// The pointer's place in a plot, in its own pixels.
function pointer(event, root) {
  const box = root.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
}

// Whichever of `points` ({x, y, text}) is nearest says its text while the pointer is over the plot.
function hover({ root, tip }, points, moved = () => {}) {
  root.addEventListener("pointermove", (event) => {
    const at = pointer(event, root);
    const far = (p) => (p.x - at.x) ** 2 + (p.y - at.y) ** 2;
    const nearest = points.reduce((best, p) => (far(p) < far(best) ? p : best), points[0]);
    tip(nearest.text, nearest);
    moved(nearest);
  });
  root.addEventListener("pointerleave", () => tip(""));
}
