// Fills the page from its data (see zoo/evaluation/reporting.py). Text from outside is only ever set as textContent.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const names = [...data.classes, ...data.strange]; // what a label can be; predictions are among the first ones
const count = data.paths.length;
const isTest = new Set(data.test);
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
const $ = (id) => document.getElementById(id);

/** An element with properties, and with children, which are elements or text. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

const named = (text) => make("bdi", { className: "name" }, text);
const cut = (text) => make("span", { className: "cut", title: text }, named(text)); // a long name ends in an ellipsis
const percent = (share) => `${Math.round(100 * share)}\u00a0%`;
const labelOf = (i) => names[data.labels[i]] ?? "none";
const predictionOf = (i) => `${names[data.predictions[i]]}, ${percent(data.probabilities[i])}`;
const number = (n) => n.toLocaleString("en");

// Thumbnails: a sheet is decoded when one of its tiles is drawn for the first time.

const sheets = { tiles: [], large: [] };
for (const kind of Object.keys(sheets)) {
  const blocks = document.querySelectorAll(`script[data-sheet="${kind}"]`);
  sheets[kind] = Array.from(blocks, (block) => ({ block, image: null }));
}

function decoded(sheet) {
  if (!sheet.image) {
    const image = new Image();
    image.src = `data:image/webp;base64,${sheet.block.textContent}`;
    sheet.image = image.decode().then(() => image);
  }
  return sheet.image;
}

/** A canvas that shows the tile at a position: of all images ("tiles"), or of those to label ("large"). */
function thumbnail(position, kind = "tiles") {
  const { side, columns } = data[kind];
  const canvas = make("canvas", { className: "tile", width: side, height: side, "aria-hidden": "true" });
  canvas.classList.toggle("sharp", side < 64);
  const at = position % columns ** 2;
  decoded(sheets[kind][Math.floor(position / columns ** 2)]).then((image) => {
    const [x, y] = [(at % columns) * side, Math.floor(at / columns) * side];
    canvas.getContext("2d").drawImage(image, x, y, side, side, 0, 0, side, side);
    canvas.dataset.drawn = "yes";
  });
  return canvas;
}

// Colours: eight, chosen as far apart as can be with and without red-green blindness, at 3:1 on the background or more.
// With five shapes beside them, 40 classes differ.

const dark = matchMedia("(prefers-color-scheme: dark)");
const COLOURS = {
  light: ["#eb610a", "#265f82", "#3e9f8a", "#310585", "#844d03", "#778be4", "#5c47dc", "#5d0505"],
  dark: ["#f07e33", "#83fef3", "#6d59ca", "#bae435", "#ce1b26", "#62bfab", "#cb7efc", "#167f82"],
};
const SURENESS = {
  light: ["#c63d00", "#d98a3d", "#9a9a9a", "#5f8fbd", "#0b4f91"],
  dark: ["#ff8a3d", "#d9a066", "#8f8f8f", "#6fa8dc", "#b7dcff"],
};
const BOUNDS = [0.5, 0.7, 0.9, 0.98]; // of confidence
const theme = () => (dark.matches ? "dark" : "light");

function drawShape(context, shape, x, y, r) {
  context.beginPath();
  const corners = [0, 4, 3, 4, 3][shape];
  const turned = [0, 0.25, -0.5, 0, 0.5][shape] * Math.PI;
  if (!corners) context.arc(x, y, r, 0, 2 * Math.PI);
  for (let k = 0; k < corners; k++) {
    const angle = turned + (2 * Math.PI * k) / corners;
    context.lineTo(x + 1.25 * r * Math.cos(angle), y + 1.25 * r * Math.sin(angle));
  }
  context.closePath();
}

/** A dot; `open` ones are rings, for images without a label. Small ones have no outline, which would be all of them. */
function drawDot(context, { colour, shape, open }, x, y, r, outline) {
  drawShape(context, shape, x, y, open ? 0.75 * r : r);
  context.fillStyle = colour;
  context.strokeStyle = open ? colour : outline;
  context.lineWidth = open ? r / 3 : r / 6;
  if (!open) context.fill();
  if (open || r > 4) context.stroke();
}

/** A dot on a canvas of its own, for the legend. */
function sign(group) {
  const ratio = devicePixelRatio || 1;
  const canvas = make("canvas", { width: 20 * ratio, height: 20 * ratio });
  canvas.style.width = canvas.style.height = "20px";
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  drawDot(context, group, 10, 10, 6, "transparent");
  return canvas;
}

/** What can be shown or hidden on the map: names with their looks, and the group of each image. */
function groupsBy(kind) {
  if (kind === "confidence") {
    const words = BOUNDS.map((bound, k) => (k ? `${percent(BOUNDS[k - 1])} to ${percent(bound)}` : `below ${percent(bound)}`));
    words.push(`${percent(BOUNDS.at(-1))} or more`);
    const groups = words.map((name, k) => ({ name, colour: SURENESS[theme()][k], shape: 0 }));
    return { groups, of: (i) => BOUNDS.filter((bound) => data.probabilities[i] >= bound).length };
  }
  const colours = COLOURS[theme()];
  const shown = kind === "label" ? names : data.classes;
  const groups = shown.map((name, k) => ({ name, colour: colours[k % colours.length], shape: k % 5 }));
  groups.push({ name: "no label", colour: dark.matches ? "#8a93a3" : "#8d95a3", shape: 0, open: true });
  const numbers = kind === "label" ? data.labels : data.predictions;
  return { groups, of: (i) => (numbers[i] < 0 ? shown.length : numbers[i]) };
}

// The map.

const canvas = $("canvas");
const PAD = 24; // pixels around the points
const REACH = 14; // pixels from the pointer to a point that it touches
let view = { scale: 1, x: 0, y: 0 }; // a zoom, and by how many pixels the map is moved
let colouring = data.labels.some((label) => label >= 0) ? "label" : "prediction";
let member = new Uint16Array(count); // the group of each image
let groups = [];
let order = []; // in which images are drawn: those without a label below the others
const hidden = new Set();
let size = { width: 1, height: 1, ratio: 1 };
const screenX = new Float32Array(count);
const screenY = new Float32Array(count);
let focused = -1;
let kept = false;

function colour() {
  const found = groupsBy(colouring);
  groups = found.groups;
  hidden.clear();
  for (let i = 0; i < count; i++) member[i] = found.of(i);
  order = Array.from({ length: count }, (_, i) => i).sort((a, b) => Boolean(groups[member[b]].open) - Boolean(groups[member[a]].open));
  const seen = new Set(member);
  $("legend").replaceChildren(
    ...groups.map((group, k) => {
      const button = make("button", { type: "button", "aria-pressed": "true" }, sign(group), cut(group.name));
      button.onclick = () => {
        if (!hidden.delete(k)) hidden.add(k);
        button.setAttribute("aria-pressed", String(!hidden.has(k)));
        draw();
      };
      return button;
    }).filter((_, k) => seen.has(k)),
  );
  draw();
}

function measure() {
  const { width, height } = canvas.getBoundingClientRect();
  size = { width, height, ratio: devicePixelRatio || 1 };
  canvas.width = Math.round(width * size.ratio);
  canvas.height = Math.round(height * size.ratio);
  drawNow(); // at once: a canvas of a new size is empty
}

let waiting = false;
function draw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    drawNow();
  });
}

const xs = Float32Array.from(data.x);
const ys = Float32Array.from(data.y);
const middle = [(Math.min(...minmax(xs)) + Math.max(...minmax(xs))) / 2, (Math.min(...minmax(ys)) + Math.max(...minmax(ys))) / 2];
function minmax(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}
const extent = [xs, ys].map((values) => minmax(values)[1] - minmax(values)[0] || 0.01);

function drawNow() {
  const { width, height, ratio } = size;
  const unit = view.scale * Math.min((width - 2 * PAD) / extent[0], (height - 2 * PAD) / extent[1]);
  for (let i = 0; i < count; i++) {
    screenX[i] = width / 2 + view.x + (xs[i] - middle[0]) * unit;
    screenY[i] = height / 2 + view.y - (ys[i] - middle[1]) * unit;
  }
  const roomy = 0.14 * Math.sqrt((width * height) / count);
  // At 10,000 images dots overlap; they stay large enough to be told apart by their shapes.
  const radius = Math.min(9, Math.max(3, roomy)) * Math.min(2, Math.max(1, view.scale ** 0.3));
  const outline = getComputedStyle(document.body).backgroundColor;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  for (const i of order) {
    const [x, y] = [screenX[i], screenY[i]];
    const inside = x > -radius && y > -radius && x < width + radius && y < height + radius;
    if (inside && !hidden.has(member[i])) drawDot(context, groups[member[i]], x, y, radius, outline);
  }
  place();
  if (!canvas.dataset.drawn) canvas.dataset.drawn = String(Math.round(performance.now()));
}

/** The shown image nearest to a place on the canvas, or -1. A scan of 10,000 takes well below a millisecond. */
function nearest(x, y, reach) {
  let [best, least] = [-1, reach ** 2];
  for (let i = 0; i < count; i++) {
    const square = (screenX[i] - x) ** 2 + (screenY[i] - y) ** 2;
    if (square < least && !hidden.has(member[i])) [best, least] = [i, square];
  }
  return best;
}

/** The shown image nearest in a direction: what lies sideways counts as farther. */
function towards(from, dx, dy) {
  let [best, least] = [from, Infinity];
  for (let i = 0; i < count; i++) {
    const [x, y] = [screenX[i] - screenX[from], screenY[i] - screenY[from]];
    const [ahead, aside] = [x * dx + y * dy, Math.abs(x * dy) + Math.abs(y * dx)];
    const far = ahead + 2 * aside;
    if (ahead > 0.01 && aside <= 2 * ahead && far < least && !hidden.has(member[i])) [best, least] = [i, far];
  }
  return best;
}

function place() {
  const ring = $("ring");
  const card = $("card");
  ring.hidden = card.hidden = focused < 0;
  if (focused < 0) return;
  const [x, y] = [screenX[focused], screenY[focused]];
  ring.hidden = x < 0 || y < 0 || x > size.width || y > size.height;
  ring.style.transform = `translate(${x}px, ${y}px)`;
  const [w, h] = [card.offsetWidth, card.offsetHeight];
  const left = x + 20 + w < size.width ? x + 20 : x - 20 - w;
  card.style.left = `${Math.max(8, Math.min(left, size.width - w - 8))}px`;
  card.style.top = `${Math.max(8, Math.min(y + 20, size.height - h - 8))}px`;
}

const facts = (i) => [`label: ${labelOf(i)}`, `prediction: ${predictionOf(i)}`];

/** Show the card of an image (-1 for none), which stays open if it is kept. */
function show(i, { keep = false, say = false } = {}) {
  if (i === focused && keep === kept) return;
  [focused, kept] = [i, keep && i >= 0];
  const card = $("card");
  card.classList.toggle("kept", kept);
  if (i >= 0) {
    const lines = [data.paths[i], ...facts(i)].map((line) => make("p", {}, named(line)));
    if (isTest.has(i)) lines.push(make("p", { className: "quiet" }, "test image"));
    card.replaceChildren(thumbnail(i), ...lines);
    if (kept) {
      const buttons = [make("button", { type: "button", onclick: close }, "Close")];
      if (!isTest.has(i)) buttons.unshift(make("button", { type: "button", onclick: () => label(i) }, "Label this image"));
      card.append(make("div", { className: "buttons" }, ...buttons));
    }
    if (say) $("map-said").textContent = [data.paths[i], ...facts(i)].join("; ");
  }
  place();
}

function close() {
  show(-1);
  canvas.focus();
}

/** Zoom by a factor about a place of the canvas. */
function zoom(factor, x = size.width / 2, y = size.height / 2) {
  const scale = Math.min(200, Math.max(0.5, view.scale * factor));
  const by = scale / view.scale;
  const [cx, cy] = [x - size.width / 2, y - size.height / 2];
  view = { scale, x: cx - (cx - view.x) * by, y: cy - (cy - view.y) * by };
  draw();
}

function reset() {
  view = { scale: 1, x: 0, y: 0 };
  draw();
}

/** Show an image on the map, moved into the middle if it is outside. */
function find(i) {
  if (hidden.has(member[i])) colour();
  const outside = screenX[i] < 0 || screenY[i] < 0 || screenX[i] > size.width || screenY[i] > size.height;
  if (outside) view = { ...view, x: view.x + size.width / 2 - screenX[i], y: view.y + size.height / 2 - screenY[i] };
  drawNow();
  show(i, { keep: true, say: true });
  $("map").scrollIntoView({ behavior: still ? "auto" : "smooth" });
  canvas.focus({ preventScroll: true });
}

const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const direction = DIRECTIONS[event.key];
  if (direction) {
    const next = focused < 0 ? nearest(size.width / 2, size.height / 2, Infinity) : towards(focused, ...direction);
    if (next >= 0) reveal(next);
  } else if (event.key === "Enter" && focused >= 0) show(focused, { keep: true, say: true });
  else if (event.key === "Escape") show(-1);
  else if (event.key === "+" || event.key === "=") zoom(1.4);
  else if (event.key === "-") zoom(1 / 1.4);
  else if (event.key === "0") reset();
  else return;
  event.preventDefault();
});

/** Go to an image with the keyboard: the map follows. */
function reveal(i) {
  const dx = Math.max(0, PAD - screenX[i]) - Math.max(0, screenX[i] - size.width + PAD);
  const dy = Math.max(0, PAD - screenY[i]) - Math.max(0, screenY[i] - size.height + PAD);
  if (dx || dy) {
    view = { ...view, x: view.x + dx, y: view.y + dy };
    drawNow();
  }
  show(i, { say: true });
}

const pointers = new Map();
let moved = 0;
const at = (event) => [event.offsetX, event.offsetY];
canvas.addEventListener("pointerdown", (event) => {
  pointers.set(event.pointerId, at(event));
  canvas.setPointerCapture(event.pointerId);
  moved = 0;
});
canvas.addEventListener("pointermove", (event) => {
  const [x, y] = at(event);
  const before = pointers.get(event.pointerId);
  if (!before) {
    if (!kept) show(nearest(x, y, REACH));
    return;
  }
  pointers.set(event.pointerId, [x, y]);
  moved += Math.hypot(x - before[0], y - before[1]);
  const n = pointers.size; // each of two fingers moves the map by half
  view = { ...view, x: view.x + (x - before[0]) / n, y: view.y + (y - before[1]) / n };
  if (n === 2) {
    const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    const length = (place) => Math.hypot(place[0] - other[0], place[1] - other[1]) || 1;
    zoom(length([x, y]) / length(before), (x + other[0]) / 2, (y + other[1]) / 2);
  }
  draw();
});
canvas.addEventListener("pointerup", (event) => {
  if (pointers.delete(event.pointerId) && moved < 5) {
    const found = nearest(...at(event), event.pointerType === "touch" ? 2 * REACH : REACH);
    show(found, { keep: true, say: true });
  }
});
canvas.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
canvas.addEventListener("pointerleave", () => kept || pointers.size || show(-1));
canvas.addEventListener(
  "wheel",
  (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / (event.deltaMode ? 20 : 400)), ...at(event));
  },
  { passive: false },
);
$("card").addEventListener("keydown", (event) => event.key === "Escape" && close());
$("zoom").addEventListener("click", (event) => {
  const way = event.target.dataset.zoom;
  if (way === "reset") reset();
  else if (way) zoom(way === "in" ? 1.4 : 1 / 1.4);
});
for (const radio of document.querySelectorAll("[name=colour]")) {
  radio.checked = radio.value === colouring;
  radio.disabled = radio.value === "label" && colouring !== "label";
  radio.onchange = () => {
    colouring = radio.value;
    colour();
  };
}
dark.addEventListener("change", colour);

// Tables and lists.

function fillSummary() {
  for (const [term, text] of data.summary) $("summary").append(make("dt", {}, term), make("dd", {}, text));
  $("map-caption").textContent = data.map + (names.length > 40 ? " Colours and shapes repeat after 40 classes." : "");
}

function fillCounts() {
  const labelled = new Array(names.length).fill(0);
  const predicted = new Array(names.length).fill(0);
  for (let i = 0; i < count; i++) {
    if (data.labels[i] >= 0) labelled[data.labels[i]]++;
    predicted[data.predictions[i]]++;
  }
  const bar = (n, most) => {
    const drawn = make("span", { className: "bar" });
    drawn.style.width = `${(100 * n) / most}%`;
    return make("div", { className: "amount" }, make("span", {}, number(n)), drawn);
  };
  const [mostLabels, mostPredictions] = [labelled, predicted].map((counts) => Math.max(1, ...counts));
  const header = ["class", "labels", "predictions"].map((text) => make("th", { scope: "col" }, text));
  const rows = names.map((name, k) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, named(name), k < data.classes.length ? "" : " (not a class of the classifier)"),
      make("td", {}, bar(labelled[k], mostLabels)),
      make("td", {}, bar(predicted[k], mostPredictions)),
    ),
  );
  $("counts-table").append(make("thead", {}, make("tr", {}, ...header)), make("tbody", {}, ...rows));
}

const AT_ONCE = 60; // tiles, before a button shows more

/** Fill a list with images; each leads to its place on the map. */
function fillTiles(list, images, text) {
  const rest = images.slice(AT_ONCE);
  for (const i of images.slice(0, AT_ONCE)) {
    const lines = text(i).map((line) => make("span", {}, named(line)));
    const button = make("button", { type: "button", title: data.paths[i], onclick: () => find(i) }, thumbnail(i), ...lines);
    list.append(make("li", {}, button));
  }
  if (!rest.length) return;
  const more = make("li", {}, make("button", { type: "button" }, `${number(rest.length)} more`));
  more.firstChild.onclick = () => {
    more.remove();
    fillTiles(list, rest, text);
  };
  list.append(more);
}

function fillConfusion() {
  if (!data.judged) {
    $("confusion-note").textContent = "There are no labels that could be held out, so no errors can be shown.";
    return;
  }
  const { images, answers, what } = data.judged;
  $("confusion-note").textContent = `${number(images.length)} images. ${what} A number opens its images.`;
  const cells = new Map();
  images.forEach((image, k) => {
    const place = data.labels[image] * names.length + answers[k];
    cells.set(place, [...(cells.get(place) ?? []), image]);
  });
  const rows = names.map((_, k) => k).filter((k) => images.some((i) => data.labels[i] === k) || answers.includes(k));
  const columns = rows.filter((k) => k < data.classes.length);
  const turned = columns.length > 5 && columns.some((k) => names[k].length > 4) ? "turned" : "";
  const most = Math.max(1, ...rows.flatMap((r) => columns.filter((c) => c !== r).map((c) => (cells.get(r * names.length + c) ?? []).length)));
  const body = rows.map((r) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, cut(names[r])),
      ...columns.map((c) => {
        const found = cells.get(r * names.length + c);
        if (!found) return make("td", { className: "none" }, "0");
        const what = `label ${names[r]}, predicted ${names[c]}`;
        const button = make("button", { type: "button", className: r === c ? "right" : "wrong", "aria-pressed": "false" }, number(found.length));
        button.setAttribute("aria-label", `${what}: ${number(found.length)} images`);
        button.style.setProperty("--share", found.length / most);
        button.onclick = () => openCell(button, what, found);
        return make("td", {}, button);
      }),
    ),
  );
  const axis = make("tr", {}, make("td"), make("th", { className: "axis", scope: "colgroup", colSpan: columns.length || 1 }, "predicted →"));
  const heads = columns.map((c) => make("th", { scope: "col", className: turned }, cut(names[c])));
  $("confusion-table").append(
    make("thead", {}, axis, make("tr", {}, make("th", { scope: "col", className: "axis" }, "label ↓"), ...heads)),
    make("tbody", {}, ...body),
  );
}

function openCell(button, what, images) {
  for (const other of $("confusion-table").querySelectorAll("[aria-pressed=true]")) other.setAttribute("aria-pressed", "false");
  button.setAttribute("aria-pressed", "true");
  $("cell-list").replaceChildren();
  fillTiles($("cell-list"), images, (i) => [data.paths[i]]);
  const title = `${what}: ${number(images.length)} ${images.length === 1 ? "image" : "images"}`;
  $("cell-title").replaceChildren(make("h3", {}, named(title)));
}

// Labels: those that are given, and those that are chosen here.

const chosen = new Map(); // image -> the label that was chosen
const words = [...names]; // what the lists offer: the classes, and the new ones
const NEW = "\u0000new"; // no label has a null character
const store = `funczoo report ${data.key}`;
// A class that is a digit has that digit as its key; others have their places.
const byDigit = names.every((name) => /^\d$/.test(name));
const ofKey = (key) => (/^\d$/.test(key) ? (byDigit ? names.indexOf(key) : Number(key) - 1) : -1);
const keyOf = (k) => (byDigit || k > 8 ? "" : `${k + 1}  `);

const givenTo = (i) => names[data.labels[i]] ?? "";

function remember() {
  try {
    localStorage.setItem(store, JSON.stringify(Array.from(chosen, ([i, label]) => [data.paths[i], label])));
  } catch {
    // A browser may refuse to keep anything for files; labels then last as long as the page.
  }
}

function remembered() {
  try {
    return JSON.parse(localStorage.getItem(store) ?? "[]");
  } catch {
    return [];
  }
}

function options(select, value) {
  const offered = words.map((word, k) => make("option", { value: word }, k < names.length ? keyOf(k) + word : word));
  select.replaceChildren(
    make("option", { value: "" }, "no label yet"),
    ...offered,
    make("option", { value: NEW }, "a new class …"),
  );
  select.value = value;
}

function addWord(word) {
  if (words.includes(word)) return;
  words.push(word);
  for (const select of $("cards").querySelectorAll("select")) options(select, select.value === NEW ? word : select.value);
}

function choose(i, word) {
  if (word) chosen.set(i, word);
  else chosen.delete(i);
  if (!word) $(`select-${i}`).value = givenTo(i);
  const card = $(`image-${i}`);
  card.classList.toggle("done", Boolean(word));
  remember();
  tell();
}

function tell() {
  const offered = $("cards").children.length;
  const labels = csvRows().length;
  $("progress").textContent = `${number(chosen.size)} of ${number(offered)} labelled here; the file has ${number(labels)} labels.`;
  $("save-button").disabled = !labels;
}

/** The card of an image to label. */
function card(i, picture) {
  const select = make("select", { id: `select-${i}`, name: `select-${i}`, "aria-label": `Label of ${data.paths[i]}` });
  const text = make("input", { type: "text", hidden: true, maxLength: 200, "aria-label": `New class of ${data.paths[i]}`, placeholder: "name of the class" });
  const start = chosen.get(i) ?? givenTo(i);
  if (start) addWord(start);
  options(select, start);
  select.onchange = () => {
    text.hidden = select.value !== NEW;
    if (text.hidden) choose(i, select.value);
    else text.focus();
  };
  select.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const k = ofKey(event.key);
    if (k >= 0 && k < names.length) {
      select.value = names[k];
      text.hidden = true;
      choose(i, names[k]);
      forward(i);
    } else if (event.key === "Enter") forward(i);
    else return;
    event.preventDefault();
  };
  const take = () => {
    const word = text.value.trim();
    if (!word) return false;
    addWord(word);
    select.value = word;
    text.hidden = true;
    text.value = "";
    choose(i, word);
    return true;
  };
  text.onkeydown = (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    if (take()) forward(i);
  };
  text.onblur = take;
  const about = [make("div", { className: "quiet" }, named(data.paths[i])), make("div", {}, "prediction: ", named(predictionOf(i)))];
  const item = make("li", { id: `image-${i}` }, picture, ...about, select, text);
  item.classList.toggle("done", chosen.has(i));
  return item;
}

/** Go on to the next image to label, or to the button that saves. */
function forward(i) {
  const next = $(`image-${i}`).nextElementSibling;
  (next ? next.querySelector("select") : $("save-button")).focus();
}

/** Put an image into the form, and go there. */
function label(i) {
  if (!$(`image-${i}`)) $("cards").append(card(i, thumbnail(i)));
  tell();
  show(-1);
  $(`select-${i}`).focus();
}

/** The lines of the file: the given labels of training images and the chosen ones, which replace them. */
function csvRows() {
  const rows = [];
  for (let i = 0; i < count; i++) {
    const label = chosen.get(i) ?? givenTo(i);
    if (label && !isTest.has(i)) rows.push([data.root + data.paths[i], label]);
  }
  return rows;
}

function csv() {
  const cell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return [["path", "label"], ...csvRows()].map((row) => row.map(cell).join(",") + "\n").join("");
}

function save() {
  const link = make("a", { download: "labels.csv", href: URL.createObjectURL(new Blob([csv()], { type: "text/csv" })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function fillForm() {
  const places = new Map(data.paths.map((path, i) => [path, i]));
  for (const [path, label] of remembered()) if (places.has(path)) chosen.set(places.get(path), label);
  const others = [...chosen.keys()].filter((i) => !data.suggested.includes(i));
  $("cards").append(...data.suggested.map((i, k) => card(i, thumbnail(k, "large"))), ...others.map((i) => card(i, thumbnail(i))));
  $("next-note").textContent = data.suggested.length
    ? "The first half are the least sure images without a label; the others stand for the most images that no label stands for."
    : "No image is left to suggest. A card on the map adds an image to this list.";
  if (!data.labels.some((label, i) => label >= 0 && !isTest.has(i))) {
    $("next-note").textContent += " This report was given no labels, so the file will have only those from here: zoo report --labels adds yours.";
  }
  $("keys").textContent = byDigit
    ? "In a list, the keys 0 to 9 choose the class and go on to the next image; Enter goes on without one."
    : "In a list, the keys 1 to 9 choose one of the first classes and go on to the next image; Enter goes on without one.";
  $("keys").hidden = !data.suggested.length;
  $("form").onsubmit = (event) => event.preventDefault();
  $("save-button").onclick = save;
  $("command").textContent = data.command;
  tell();
}

fillSummary();
fillCounts();
fillConfusion();
fillTiles($("unsure-list"), data.leastSure, (i) => [predictionOf(i), `label: ${labelOf(i)}`]);
fillForm();
new ResizeObserver(measure).observe(canvas);
colour();
