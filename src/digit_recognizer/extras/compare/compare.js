// Recipes by seconds and error; each can be pointed at or focused for its figures.
const shown = byId("shown"), hint = shown.textContent;
const front = data.filter((recipe) => recipe.front).sort((a, b) => a.seconds - b.seconds);
const axes = {
  x: logarithmic(data.map((recipe) => recipe.seconds), (t) => t.toLocaleString("en")),
  y: logarithmic(data.flatMap((recipe) => recipe.errors), (t) => `${Number((100 * t).toPrecision(1))} %`),
  xName: "seconds of training, summed over members",
  label: `Out-of-fold error against seconds of training, both on logarithmic axes. On the Pareto front: ${front.map((recipe) => recipe.name).join(", ")}. The table below has the same figures.`,
  role: "group",
  ratio: 0.8,
};

plot(byId("plot"), axes, ({ root, px, py, width, height, left }) => {
  const points = data.map((recipe) => [recipe, px(recipe.seconds), py(recipe.errors[1])]);
  // A stair: between two points of the front, the faster one is the best there is.
  const steps = [];
  for (const { seconds, errors: [, error] } of front) {
    if (steps.length) steps.push([px(seconds), steps.at(-1)[1]]);
    steps.push([px(seconds), py(error)]);
  }
  steps.push([width - 14, steps.at(-1)[1]]);
  root.append(svg("path", { class: "line s0 front", d: path(steps) }));
  const taken = points.map(([, x, y]) => [x - 7, y - 7, x + 7, y + 7]);
  // Steps go to the right and down.
  for (const [i, [x, y]] of steps.slice(1).entries()) taken.push([steps[i][0] - 1, steps[i][1] - 1, x + 1, y + 1]);
  const isFree = ([l, t, r, b]) =>
    l >= left && t >= 0 && r <= width && b <= height - 40 && taken.every(([l2, t2, r2, b2]) => r < l2 || l > r2 || b < t2 || t > b2);

  for (const [recipe, x, y] of points) {
    const text = svg("text", {}, recipe.name);
    const mark = svg(
      "g",
      { class: `point ${recipe.front ? "s0" : "s7"}`, tabindex: 0, role: "img", "aria-label": recipe.text },
      svg("title", {}, recipe.text), svg("line", { class: "whisker", x1: x, x2: x, y1: py(recipe.errors[0]), y2: py(recipe.errors[2]) }), svg("circle", { class: "dot", cx: x, cy: y, r: 6 }), text,
    );
    root.append(mark);
    // Beside the point, where nothing else is.
    const w = text.getComputedTextLength();
    const boxes = [[10, 4], [4, 20], [-10 - w, 4], [-w / 2, 21], [-w / 2, -12], [-4 - w, 20], [8, -10]]
      .map(([dx, dy]) => [x + dx, y + dy - 11, x + dx + w, y + dy + 3]);
    const box = boxes.find(isFree) ?? boxes[0];
    taken.push(box);
    text.setAttribute("x", box[0]);
    text.setAttribute("y", box[3] - 3);
    for (const type of ["pointerenter", "focus"]) mark.addEventListener(type, () => { shown.textContent = recipe.text; });
    for (const type of ["pointerleave", "blur"]) mark.addEventListener(type, () => { shown.textContent = hint; });
  }
});
