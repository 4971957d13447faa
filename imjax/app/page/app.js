// The page: which image is shown, what is saved, which runs there are. Text from the folder is only ever set as
// text, never as markup.

import { Painter, positionOf, sizeOf } from "/painter.js";

const $ = (id) => document.getElementById(id);
const query = (values) => new URLSearchParams(values).toString();
const state = { images: [], shown: [], scores: {}, runs: [], run: "", filter: "all", current: null, version: "", opening: 0, saving: null };

// ---- talking to the server

class Refusal extends Error {
  constructor(status, text) { super(text); this.status = status; }
}

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Refusal(0, "imjax app does not answer; is it still running?");
  }
  if (answer.ok) return answer;
  const text = await answer.text();
  let message = text;
  try { message = JSON.parse(text).error; } catch { /* plain text */ }
  throw new Refusal(answer.status, message || `error ${answer.status}`);
}

const askJson = async (path, options) => (await ask(path, options)).json();
const post = (values) => askJson("/api/runs", { method: "POST", body: JSON.stringify(values) });

async function askPixels(path) {
  const answer = await ask(path);
  return { pixels: new Uint8Array(await answer.arrayBuffer()), version: (answer.headers.get("etag") || "").replaceAll('"', "") };
}

async function zip(pixels) {
  return new Response(new Blob([pixels]).stream().pipeThrough(new CompressionStream("gzip"))).blob();
}

// ---- telling the person

let toastTimer = 0;
function tell(text, good = false) {
  $("toast").textContent = text;
  $("toast").className = good ? "good" : "";
  $("toast").hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { $("toast").hidden = true; }, good ? 2200 : 9000);
}

/** Ask the person; answers: [[key, label, primary]]. Escape is the last answer. */
function choose(text, answers) {
  const dialog = $("question");
  $("question-text").textContent = text;
  return new Promise((resolve) => {
    const pick = (key) => { dialog.close(); resolve(key); };
    $("question-answers").replaceChildren(...answers.map(([key, label, primary]) => {
      const button = make("button", label);
      if (primary) button.className = "primary";
      button.onclick = () => pick(key);
      return button;
    }));
    dialog.oncancel = (event) => { event.preventDefault(); pick(answers.at(-1)[0]); };
    dialog.showModal();
  });
}

function make(tag, text = "", className = "") {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  if (className) element.className = className;
  return element;
}

const guard = (action) => async (...values) => {
  try { return await action(...values); } catch (error) { tell(error.message); return undefined; }
};

function timeText(seconds) {
  if (seconds === null || seconds === undefined) return "estimating the time left…";
  if (seconds < 60) return "less than a minute left";
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} min left`;
  return `about ${(seconds / 3600).toFixed(1)} h left`;
}

// ---- the painter and its tools

const painter = new Painter($("stage"), $("view"), { changed: showTools, hover: showPixel });

function pickTool(tool) {
  painter.tool = tool;
  for (const each of ["brush", "eraser", "move"]) $(`tool-${each}`).setAttribute("aria-pressed", each === tool);
  $("stage").classList.toggle("moving", tool === "move" || painter.readOnly);
  painter.request(false);
}

function pickSize(size) {
  painter.size = Math.min(sizeOf(100), Math.max(1, size));
  $("size").value = positionOf(painter.size);
  $("size-text").textContent = `${painter.size} px`;
  painter.request(false);
}

function pickClass(value) {
  painter.value = value;
  for (const button of $("classes").children) {
    const chosen = Number(button.dataset.value) === value;
    button.setAttribute("aria-checked", chosen);
    button.tabIndex = chosen ? 0 : -1;
  }
  if (painter.tool !== "brush" && !painter.readOnly) pickTool("brush");
  painter.request(false);
}

function buildClasses() {
  const { classes, ground, kind } = state.folder;
  painter.setClasses(classes, kind === "multilabel", ground);
  const entries = [...classes];
  if (state.folder.void) entries.push({ name: "void (not counted)", value: 255, color: null });
  $("classes").replaceChildren(...entries.map((each, i) => {
    const button = make("button");
    const swatch = make("span", "", each.color ? "swatch" : "swatch void");
    if (each.color) swatch.style.background = `rgb(${each.color.join(",")})`;
    button.append(swatch, make("span", each.name));
    if (i < 9) button.append(make("kbd", String(i + 1)));
    button.setAttribute("role", "radio");
    button.dataset.value = each.value;
    button.onclick = () => pickClass(each.value);
    return button;
  }));
  $("classes").onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault(); event.stopPropagation();
    const buttons = [...$("classes").children], at = buttons.indexOf(document.activeElement);
    const next = buttons[(at + step + buttons.length) % buttons.length];
    next.focus(); next.click();
  };
  pickClass((entries.find((each) => each.value !== ground) || entries[0]).value);
  const reason = state.folder.readOnly;
  painter.readOnly = Boolean(reason);
  for (const id of ["tool-brush", "tool-eraser"]) $(id).disabled = Boolean(reason);
  if (reason) { pickTool("move"); tell(`Masks cannot be changed here: ${reason}.`); }
}

function showTools() {
  const open = Boolean(painter.image), locked = painter.readOnly;
  $("undo").disabled = !open || !painter.done.length;
  $("redo").disabled = !open || !painter.undone.length;
  $("accept").disabled = !open || locked || !painter.prediction;
  $("save").disabled = !open || locked || (!painter.dirty && state.version !== "none");
  $("next").disabled = !open;
  $("next").textContent = painter.dirty ? "Save, next" : "Next";
  for (const [id, layer] of [["show-prediction", "prediction"], ["show-inconsistency", "inconsistency"]]) $(id).disabled = !open || !painter[layer];
  $("stage").dataset.dirty = painter.dirty;
  showPixel(null);
}

function labelName(value) {
  const { classes, kind } = state.folder;
  if (kind === "multilabel") return classes.filter((each) => value & each.value).map((each) => each.name).join(" + ") || "nothing";
  if (value === 255) return "void";
  return classes.find((each) => each.value === value)?.name || "background";
}

function showPixel(at) {
  const status = $("status");
  status.replaceChildren();
  if (!painter.image) return;
  const score = state.scores[state.current];
  const words = [`${state.current} · ${painter.width} × ${painter.height}`];
  if (score !== undefined) words.push(`agreement ${score.toFixed(2)}`);
  if (at) words.push(`x ${at.x}, y ${at.y}: ${labelName(painter.mask[at.y * painter.width + at.x])}`);
  status.append(words.join(" · "));
  if (painter.dirty) status.append(" · ", make("b", "not saved"));
  else if (state.version === "none") status.append(" · no mask yet");
}

// ---- the list of images

const rows = new Map();

function makeRow(image) {
  const item = make("li"), button = make("button"), picture = make("img"), text = make("span"), facts = make("span", "", "facts");
  picture.loading = "lazy"; picture.alt = "";
  picture.onerror = () => { picture.style.visibility = "hidden"; };
  picture.onload = () => { picture.style.visibility = ""; };
  text.append(make("span", image.name, "name"), facts);
  button.title = image.name;
  button.append(picture, text);
  button.onclick = () => open(image.name);
  item.append(button);
  return { item, button, picture, facts };
}

function meter(score) {
  const whole = make("span", "", `meter ${score < 0.6 ? "low" : score < 0.85 ? "middle" : ""}`);
  const bar = make("i"), fill = make("b");
  fill.style.width = `${Math.round(100 * score)}%`;
  bar.append(fill);
  whole.append(bar, score.toFixed(2));
  whole.title = "How far the networks agree on this image: low is likely to be wrong";
  return whole;
}

function showList() {
  const keep = { all: () => true, open: (image) => !image.mask, done: (image) => image.mask }[state.filter];
  const score = (image) => state.scores[image.name] ?? 2;
  state.shown = state.images.filter(keep).sort((a, b) => score(a) - score(b) || (a.name < b.name ? -1 : 1));
  const items = state.shown.map((image) => {
    if (!rows.has(image.name)) rows.set(image.name, makeRow(image));
    const row = rows.get(image.name), own = state.scores[image.name], facts = [];
    if (own !== undefined) facts.push(meter(own));
    if (image.mask) facts.push(make("span", "mask", "badge mask"));
    if (image.split) facts.push(make("span", image.split, "badge"));
    row.facts.replaceChildren(...facts);
    row.button.setAttribute("aria-current", image.name === state.current);
    const source = `/api/thumbnail?${query({ name: image.name, run: own === undefined ? "" : state.run, v: image.stamp })}`;
    if (row.picture.getAttribute("src") !== source) row.picture.src = source;
    return row.item;
  });
  const list = $("images"), place = list.scrollTop;
  list.replaceChildren(...items);
  list.scrollTop = place;
  const masks = state.images.filter((image) => image.mask).length, ranked = Object.keys(state.scores).length;
  $("list-note").textContent = `${state.images.length} images, ${masks} with a mask.` +
    (ranked ? " Worst agreement first." : " Train once to see which are worth correcting.");
  const counts = $("train-counts");
  counts.textContent = `${masks} of ${state.images.length} images have a mask. Training learns from these; afterwards all images are predicted.`;
}

async function loadFolder(path = "/api/folder", options = {}) {
  state.folder = await askJson(path, options);
  state.images = state.folder.images;
  $("folder-title").textContent = state.folder.title;
  document.title = `${state.folder.title} – imjax`;
  buildClasses();
  buildPresets();
  const chosen = $("compare-image").value;
  $("compare-image").replaceChildren(...state.images.map((image) => new Option(image.name)));
  if (chosen) $("compare-image").value = chosen;
  showList();
}

// ---- opening and saving

async function mayLeave() {
  if (!painter.dirty) return true;
  const answer = await choose(`The mask of ${state.current} has changes that are not saved.`, [["save", "Save", true], ["drop", "Discard"], ["stay", "Stay"]]);
  if (answer === "save") return save();
  return answer === "drop";
}

const open = guard(async (name, force = false) => {
  if (!force && name === state.current && painter.image) return;
  if (!force && !(await mayLeave())) return;
  const ticket = ++state.opening;
  const busy = setTimeout(() => { $("busy").hidden = false; }, 150);
  try {
    const [blob, mask] = await Promise.all([
      ask(`/api/image?${query({ name })}`).then((answer) => answer.blob()),
      askPixels(`/api/mask?${query({ name })}`),
    ]);
    const picture = await createImageBitmap(blob);
    if (ticket !== state.opening) return;
    const image = state.images.find((each) => each.name === name);
    state.current = name; state.version = mask.version;
    painter.open(picture, image.width, image.height, mask.pixels);
    $("empty").hidden = true;
    $("stage").dataset.image = name; $("stage").dataset.version = mask.version;
    showList();
    rows.get(name)?.button.scrollIntoView({ block: "nearest", inline: "nearest" });
    await loadPrediction(name, ticket);
  } finally {
    clearTimeout(busy);
    if (ticket === state.opening) $("busy").hidden = true;
    showTools();
  }
});

async function loadPrediction(name, ticket = state.opening) {
  let prediction = null, inconsistency = null;
  if (state.run && state.scores[name] !== undefined) {
    const values = { name, run: state.run };
    [prediction, inconsistency] = await Promise.all([
      askPixels(`/api/prediction?${query(values)}`), askPixels(`/api/prediction?${query({ ...values, what: "inconsistency" })}`),
    ]);
  }
  if (ticket !== state.opening || name !== state.current) return;
  painter.prediction = prediction && prediction.pixels;
  painter.inconsistency = inconsistency && inconsistency.pixels;
  $("stage").dataset.prediction = prediction ? state.run : "";
  painter.refresh();
  showTools();
}

async function put(name, pixels, version) {
  const body = await zip(pixels);
  return askJson(`/api/mask?${query({ name })}`, { method: "PUT", body, headers: { "If-Match": `"${version}"` } });
}

/** Save the mask; false where it is not saved. One save at a time: a second would be on the version before. */
function save() {
  state.saving ||= saveNow().finally(() => { state.saving = null; $("save").textContent = "Save"; });
  return state.saving;
}

async function saveNow() {
  if (painter.readOnly || !painter.image || painter.stroke) return false;
  const name = state.current;
  if (!painter.dirty) {
    if (state.version !== "none") return true;
    // A mask without anything on it says that there is nothing: training believes that.
    const wanted = await choose(`Nothing is painted on ${name}. Save that there is nothing to be found in this image?`,
      [["save", "Save an empty mask"], ["stay", "Cancel", true]]);
    if (wanted !== "save") return false;
  }
  const pixels = painter.mask.slice(), edits = painter.edits;
  $("save").textContent = "Saving…";
  let answer;
  try {
    answer = await put(name, pixels, state.version);
  } catch (error) {
    if (error.status !== 409) { tell(`Not saved: ${error.message}`); return false; }
    const wanted = await choose(`Not saved: the mask of ${name} was changed by somebody else, or in another window, after you opened it.`,
      [["theirs", "Show theirs, drop mine"], ["mine", "Overwrite with mine"], ["stay", "Go on without saving", true]]);
    if (wanted === "theirs") { await open(name, true); return false; }
    if (wanted !== "mine") return false;
    try {
      answer = await put(name, pixels, (await askPixels(`/api/mask?${query({ name })}`)).version);
    } catch (again) { tell(`Not saved: ${again.message}`); return false; }
  }
  Object.assign(state.images.find((image) => image.name === name), { mask: true, stamp: answer.version });
  if (state.current === name) {
    state.version = answer.version;
    $("stage").dataset.version = answer.version;
    painter.savedEdits = edits;
  }
  showList(); showTools();
  tell(`Saved the mask of ${name}.`, true);
  return true;
}

function neighbor(step) {
  const at = state.shown.findIndex((image) => image.name === state.current);
  return state.shown[at + step]?.name;
}

const goOn = guard(async () => {
  if (!painter.image) return;
  const next = neighbor(1);
  if (painter.dirty && !(await save())) return;
  if (next) await open(next); else tell("That was the last image of the list.", true);
});

const step = (by) => { const name = neighbor(by); if (name) open(name); };

function accept() {
  if (!painter.prediction || painter.readOnly) return;
  painter.replace(painter.prediction);
  showTools();
}

// ---- runs

let pollTimer = 0;
async function pollRuns() {
  clearTimeout(pollTimer);
  try {
    const runs = await askJson("/api/runs");
    const before = state.runs;
    state.runs = runs;
    await followScores(before);
    showRuns();
    $("working").classList.remove("lost");
  } catch (error) {
    $("working").hidden = false;
    $("working-text").textContent = error.message;
  }
  const busy = state.runs.some((run) => run.state === "running" || run.predicting);
  pollTimer = setTimeout(pollRuns, busy ? 1500 : 6000);
}

async function followScores(before) {
  const ready = state.runs.filter((run) => run.predicted > 0);
  const names = ready.map((run) => run.name).join("\n");
  if ($("run-select").dataset.names !== names) {
    const newest = ready.find((run) => !before.some((old) => old.name === run.name && old.predicted > 0));
    $("run-select").replaceChildren(new Option("name, without predictions", ""), ...ready.map((run) => new Option(run.title, run.name)));
    $("run-select").dataset.names = names;
    if (newest || !ready.some((run) => run.name === state.run)) state.run = (newest || ready[0])?.name || "";
    $("run-select").value = state.run;
    await loadScores();
  } else if (state.run) {
    const count = (list) => list.find((run) => run.name === state.run)?.predicted;
    if (count(before) !== count(state.runs)) await loadScores();
  }
}

async function loadScores() {
  state.scores = state.run ? await askJson(`/api/scores?${query({ run: state.run })}`) : {};
  showList();
  if (!state.current) return;
  if ((state.scores[state.current] !== undefined ? state.run : "") !== ($("stage").dataset.prediction || "")) await loadPrediction(state.current);
}

const STATES = { running: "training", elsewhere: "at work elsewhere", finished: "finished", stopped: "stopped", failed: "failed" };

function describeRun(run) {
  if (run.predicting) return `predicting ${run.predicted} of ${state.images.length} images`;
  if (run.state === "running" && !run.stage) return "reading the folder…";
  const step = run.steps ? `, step ${run.step} of ${run.steps}` : "";
  return run.stage ? `${run.stage.replaceAll("_", " ")}${step}` : "";
}

function makeRun(run) {
  const box = make("article", "", "run"), head = make("div", "", "head"), actions = make("div", "", "actions");
  const shown = run.predicting ? "predicting" : STATES[run.state];
  head.append(make("h3", run.title), make("span", shown, `state ${run.predicting ? "running" : run.state}`));
  if (run.headline) head.append(make("span", `${run.headline[0]} on test images ${run.headline[1].toFixed(3)}`, "figure"));
  box.append(head);
  box.dataset.run = run.name; box.dataset.state = run.state;
  const working = run.state === "running" || run.predicting;
  if (working) {
    const bar = make("progress");
    const share = run.predicting ? run.predicted / Math.max(1, state.images.length) : run.share;
    if (share > 0) bar.value = share;
    bar.setAttribute("aria-label", `${run.title}: ${Math.round(100 * share)} percent`);
    box.append(bar, make("p", [describeRun(run), run.predicting ? "" : timeText(run.seconds_left)].filter(Boolean).join(" · "), "note"));
  } else if (run.state === "failed") {
    box.append(make("p", run.message, "failure"));
  } else if (run.state === "stopped") {
    box.append(make("p", [describeRun(run), "saved; it can go on as long as masks and images stay as they were"].filter(Boolean).join(" · "), "note"));
  } else if (run.message) {
    box.append(make("p", `Its predictions failed: ${run.message}`, "failure"));
  } else if (run.predicted && run.predicted < state.images.length) {
    box.append(make("p", `${run.predicted} of ${state.images.length} images are predicted as they are now`, "note"));
  }
  const act = (label, values) => {
    const button = make("button", label);
    button.onclick = guard(async () => { button.disabled = true; await post(values).finally(pollRuns); });
    actions.append(button);
  };
  if (working) act("Stop", { action: "stop", run: run.name });
  if (run.state === "stopped" || run.state === "failed") act("Go on", { action: "resume", run: run.name });
  if (run.state === "finished" && !run.predicting && run.predicted < state.images.length) act("Predict all images", { action: "predict", run: run.name });
  if (run.has_report && !working) {
    const link = make("a", "Report", "button");
    link.href = `/api/report?${query({ run: run.name })}`; link.target = "_blank"; link.rel = "noopener";
    actions.append(link);
  }
  box.append(actions);
  return box;
}

function showRuns() {
  const text = JSON.stringify(state.runs);
  const working = state.runs.find((run) => run.state === "running" || run.predicting);
  $("working").hidden = !working;
  if (working) $("working-text").textContent = working.predicting ? `Predicting ${working.predicted}/${state.images.length}`
    : `Training ${Math.round(100 * working.share)} % · ${timeText(working.seconds_left)}`;
  $("start").disabled = Boolean(working);
  $("train-note").textContent = working ? "One at a time: this one first." : painter.dirty ? "The mask that is open is not saved yet." : "";
  if ($("runs").dataset.text === text) return;
  $("runs").dataset.text = text;
  const focused = document.activeElement?.textContent, within = document.activeElement?.closest?.(".run")?.dataset.run;
  $("runs").replaceChildren(...(state.runs.length ? state.runs.map(makeRun) : [make("p", "None yet.", "note")]));
  if (within) [...$("runs").querySelectorAll(".run")].find((box) => box.dataset.run === within)
    ?.querySelectorAll("button").forEach((button) => { if (button.textContent === focused) button.focus(); });
  fillSources();
  fillCompare();
}

function buildPresets() {
  const chosen = document.querySelector("#presets input:checked")?.value;
  const labels = state.folder.presets.map((preset, i) => {
    const label = make("label"), input = make("input");
    input.type = "radio"; input.name = "preset"; input.value = preset.name;
    input.checked = chosen ? chosen === preset.name : i === 0;
    input.onchange = fillSources;
    label.append(input, preset.title, make("small", preset.hint));
    return label;
  });
  $("presets").replaceChildren(make("legend", "How"), ...labels);
  fillSources();
}

// Networks of another kind of training have other sizes. The newest run comes first.
function fillSources() {
  const preset = document.querySelector("#presets input:checked")?.value;
  const runs = state.runs.filter((run) => run.state === "finished" && run.name.endsWith(`-${preset}`));
  const names = [preset, ...runs.map((run) => run.name)].join("\n");
  if ($("source").dataset.names === names) return;
  $("source").dataset.names = names;
  $("source").replaceChildren(...runs.map((run) => new Option(run.title, run.name)), new Option("no run: train anew", ""));
  $("source-field").hidden = !runs.length;
}

const start = guard(async () => {
  if (!(await mayLeave())) return;
  $("start").disabled = true;
  const preset = document.querySelector("#presets input:checked").value;
  await post({ action: "start", preset, source: $("source").value }).finally(pollRuns);
});

// ---- comparing

function fillCompare() {
  const done = state.runs.filter((run) => run.state === "finished"), names = done.map((run) => run.name).join("\n");
  if ($("first-run").dataset.names === names) return;
  for (const [id, place] of [["first-run", 1], ["second-run", 0]]) {
    const select = $(id), chosen = select.value;
    select.replaceChildren(...done.map((run) => new Option(run.title, run.name)));
    select.value = done.some((run) => run.name === chosen) ? chosen : (done[place] || done[0])?.name || "";
    select.dataset.names = names;
  }
  if (!$("view-compare").hidden) compare();
}

const titleOf = (name) => state.runs.find((run) => run.name === name)?.title || name;

const compare = guard(async () => {
  const [first, second] = [$("first-run").value, $("second-run").value];
  if (!first || !second) {
    $("compare-notes").replaceChildren(make("p", "Two finished runs are needed: train again after correcting some masks.", "warning"));
    $("figures").replaceChildren();
    await showPanels();
    return;
  }
  const found = await askJson(`/api/compare?${query({ first, second })}`);
  const notes = first === second ? ["Both are the same run."] : found.notes;
  $("compare-notes").replaceChildren(...notes.map((text) => make("p", text, "warning")));
  const head = make("thead"), body = make("tbody"), line = make("tr");
  for (const [title, detail] of [["on the test images", ""], [titleOf(first), found.first], [titleOf(second), found.second], ["B − A", ""]]) {
    const cell = make("th", title);
    cell.scope = "col";
    if (detail) cell.append(make("br"), detail);
    line.append(cell);
  }
  head.append(line);
  for (const each of found.rows) {
    const row = make("tr", "", each.primary ? "primary" : "");
    const difference = each.first === null || each.second === null ? null : each.second - each.first;
    const better = difference && (difference > 0) !== each.lower_is_better;
    const figure = (value) => (value === null ? "–" : value.toFixed(3));
    row.append(make("td", each.title + (each.lower_is_better ? " (lower is better)" : "")), make("td", figure(each.first)), make("td", figure(each.second)),
      make("td", difference === null ? "–" : `${difference > 0 ? "+" : difference < 0 ? "−" : ""}${Math.abs(difference).toFixed(3)}`,
        !difference || Math.abs(difference) < 0.0005 ? "" : better ? "better" : "worse"));
    body.append(row);
  }
  $("figures").replaceChildren(head, body);
  await showPanels();
});

let panelTicket = 0;
const showPanels = guard(async () => {
  const name = $("compare-image").value, ticket = ++panelTicket;
  if (!name) return;
  const image = state.images.find((each) => each.name === name);
  const picture = await createImageBitmap(await (await ask(`/api/image?${query({ name })}`)).blob());
  const wanted = [["Mask in the folder", image.mask ? "as it is saved now" : "none yet", image.mask ? () => askPixels(`/api/mask?${query({ name })}`) : null]];
  for (const [letter, id] of [["A", "first-run"], ["B", "second-run"]]) {
    const run = $(id).value;
    if (run) wanted.push([`${letter}: ${titleOf(run)}`, "", () => askPixels(`/api/prediction?${query({ name, run })}`)]);
  }
  const figures = await Promise.all(wanted.map(async ([title, detail, load]) => {
    const figure = make("figure"), canvas = make("canvas"), caption = make("figcaption", title);
    let pixels = null, note = detail;
    if (load) try { pixels = (await load()).pixels; } catch (error) { note = error.message; }
    drawPanel(canvas, picture, image, pixels);
    canvas.setAttribute("role", "img"); canvas.setAttribute("aria-label", `${title}, ${name}`);
    caption.append(make("small", note || "prediction"));
    figure.append(canvas, caption);
    return figure;
  }));
  if (ticket === panelTicket) $("panels").replaceChildren(...figures);
});

function drawPanel(canvas, picture, image, pixels) {
  const scale = Math.min(1, 900 / Math.max(image.width, image.height));
  canvas.width = Math.max(1, Math.round(image.width * scale)); canvas.height = Math.max(1, Math.round(image.height * scale));
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  if (!pixels) return;
  const data = context.getImageData(0, 0, canvas.width, canvas.height), out = data.data;
  for (let y = 0; y < canvas.height; y++) {
    const row = Math.min(image.height - 1, Math.floor((y + 0.5) / scale)) * image.width;
    for (let x = 0; x < canvas.width; x++) {
      const value = painter.edge[pixels[row + Math.min(image.width - 1, Math.floor((x + 0.5) / scale))]];
      if (!value) continue;
      const at = 4 * (y * canvas.width + x);
      for (let c = 0; c < 3; c++) out[at + c] = 0.5 * out[at + c] + 0.5 * ((value >> (8 * c)) & 255);
    }
  }
  context.putImageData(data, 0, 0);
}

// ---- views, keys, start

function showView(name) {
  for (const each of ["paint", "train", "compare"]) {
    $(`view-${each}`).hidden = each !== name;
    $(`tab-${each}`).setAttribute("aria-selected", each === name);
    $(`tab-${each}`).tabIndex = each === name ? 0 : -1;
  }
  if (name === "train") { showRuns(); pollRuns(); }
  if (name === "compare") { fillCompare(); compare(); }
}

const KEYS = {
  b: () => pickTool("brush"), e: () => pickTool("eraser"), h: () => pickTool("move"), p: accept,
  "[": () => pickSize(Math.min(painter.size - 1, Math.round(painter.size / 1.2))), "]": () => pickSize(Math.max(painter.size + 1, Math.round(painter.size * 1.2))),
  "+": () => painter.zoom(1.3), "=": () => painter.zoom(1.3), "-": () => painter.zoom(1 / 1.3), 0: () => painter.fit(),
  n: () => step(1), v: () => step(-1), enter: () => goOn(),
};

function pressKey(event) {
  if ($("question").open || $("view-paint").hidden) return;
  const key = event.key.toLowerCase(), target = event.target;
  if ((event.ctrlKey || event.metaKey) && !event.altKey) {
    const action = { s: () => guard(save)(), z: () => (event.shiftKey ? painter.redo() : painter.undo()), y: () => painter.redo() }[key];
    if (action) { event.preventDefault(); action(); }
    return;
  }
  if (event.altKey || !painter.image || target.matches("select, input[type=range]")) return;
  const onStage = target === $("stage") || target === document.body;
  if (key === " " && onStage) { painter.spaceHeld = true; event.preventDefault(); return; }
  if (onStage) {
    const by = Math.max(1, Math.round(event.shiftKey ? 10 * painter.size : painter.size / 4));
    const way = { arrowleft: [-by, 0], arrowright: [by, 0], arrowup: [0, -by], arrowdown: [0, by] }[key];
    if (way && !painter.stroke) { event.preventDefault(); painter.moveCross(...way); return; }
    if (key === "x") { painter.stampCross(); return; }
  }
  // A button that has the focus is what Enter presses.
  if (key === "enter" && !onStage) return;
  if (/^[1-9]$/.test(key) && !painter.readOnly) { $("classes").children[Number(key) - 1]?.click(); return; }
  if (KEYS[key]) { event.preventDefault(); KEYS[key](); }
}

function listen() {
  for (const name of ["paint", "train", "compare"]) $(`tab-${name}`).onclick = () => showView(name);
  document.querySelector("nav").onkeydown = (event) => {
    const names = ["paint", "train", "compare"], at = names.findIndex((name) => !$(`view-${name}`).hidden);
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const next = names[(at + by + 3) % 3];
    showView(next); $(`tab-${next}`).focus();
  };
  for (const tool of ["brush", "eraser", "move"]) $(`tool-${tool}`).onclick = () => pickTool(tool);
  for (const filter of ["all", "open", "done"]) $(`filter-${filter}`).onclick = () => {
    state.filter = filter;
    for (const each of ["all", "open", "done"]) $(`filter-${each}`).setAttribute("aria-pressed", each === filter);
    showList();
  };
  $("size").oninput = () => pickSize(sizeOf(Number($("size").value)));
  $("undo").onclick = () => painter.undo();
  $("redo").onclick = () => painter.redo();
  $("zoom-in").onclick = () => painter.image && painter.zoom(1.3);
  $("zoom-out").onclick = () => painter.image && painter.zoom(1 / 1.3);
  $("zoom-fit").onclick = () => painter.fit();
  $("accept").onclick = accept;
  $("save").onclick = guard(save);
  $("next").onclick = () => goOn();
  $("rescan").onclick = guard(async () => {
    if (!(await mayLeave())) return;
    await loadFolder("/api/scan", { method: "POST" });
    if (state.images.some((image) => image.name === state.current)) await open(state.current, true);
  });
  $("opacity").oninput = () => { painter.opacity = Number($("opacity").value) / 100; painter.makeColors(); };
  for (const layer of ["mask", "prediction", "inconsistency"]) $(`show-${layer}`).onchange = () => {
    painter.show[layer] = $(`show-${layer}`).checked;
    painter.refresh();
  };
  $("run-select").onchange = guard(async () => { state.run = $("run-select").value; await loadScores(); });
  $("working").onclick = () => showView("train");
  $("start").onclick = () => start();
  $("first-run").onchange = () => compare();
  $("second-run").onchange = () => compare();
  $("compare-image").onchange = () => showPanels();
  for (const [id, by] of [["compare-previous", -1], ["compare-next", 1]]) $(id).onclick = () => {
    const select = $("compare-image");
    select.selectedIndex = Math.min(select.length - 1, Math.max(0, select.selectedIndex + by));
    showPanels();
  };
  document.addEventListener("keydown", pressKey);
  document.addEventListener("keyup", (event) => { if (event.key === " ") painter.spaceHeld = false; });
  window.addEventListener("beforeunload", (event) => { if (painter.dirty) event.preventDefault(); });
}

listen();
pickSize(20);
guard(async () => {
  await loadFolder();
  await pollRuns();
  painter.show.prediction = $("show-prediction").checked = true;
  painter.show.inconsistency = $("show-inconsistency").checked = true;
  const first = state.shown[0];
  if (first) await open(first.name); else $("empty").hidden = false;
  document.body.dataset.ready = "yes";
})();
