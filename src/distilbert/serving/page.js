// The page of the server. Texts enter the page through textContent only, so nothing that is typed or answered is markup.

// Small tools ----------------------------------------------------------------------------------------------------------

const byId = (id) => document.getElementById(id);

/** An element with properties and children: element("p", { className: "note" }, "text", other). */
function element(name, properties = {}, ...children) {
  const created = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "role" || key === "for" || key === "scope") created.setAttribute(key, value);
    else created[key] = value;
  }
  created.append(...children.filter((child) => child !== null && child !== undefined));
  return created;
}

function drawing(width, height, label, ...shapes) {
  const created = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  created.setAttribute("viewBox", `0 0 ${width} ${height}`);
  created.setAttribute("preserveAspectRatio", "none");
  if (label) { created.setAttribute("role", "img"); created.setAttribute("aria-label", label); }
  else created.setAttribute("aria-hidden", "true");
  for (const [name, attributes] of shapes) {
    const shape = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
    created.append(shape);
  }
  return created;
}

const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);
const percent = (share) => `${(100 * share).toFixed(share < 0.1 || share > 0.9 ? 2 : 1)} %`;
/** A number with so many decimals, and never "-0.00". */
const fixed = (value, decimals) => { const text = value.toFixed(decimals); return Number(text) ? text : text.replace("-", ""); };
const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
const milliseconds = (value) => (value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en")) + " ms";
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
// Answers count characters as code points, JavaScript counts UTF-16: the text is cut in code points.
const slice = (points, start, end) => points.slice(start, end).join("");

const memory = {
  get(name) { try { return sessionStorage.getItem(name) ?? localStorage.getItem(name); } catch { return null; } },
  set(name, value, store = "localStorage") { try { window[store].setItem(name, value); } catch { /* it is not kept */ } },
};

// The tasks ------------------------------------------------------------------------------------------------------------
//
// fields      what is typed: name, label, rows, and `lines` where each line is an entry of a list; `parameter` where it
//             is a parameter of the task and not a part of its input
// examples    name -> values of the fields
// defaults    parameters that this page sends unless they are changed
// input       the input of the request, from the values
// show        draws an answer
// columns     of a CSV file: what a row needs
// cells       what is added to a row of a CSV file, from its answer

const TASKS = {
  "text-classification": {
    title: "Classify",
    question: "Which label does this text have?",
    fields: [{ name: "text", label: "Text", rows: 5 }, { name: "text_pair", label: "Second text, for models that read pairs", rows: 1, optional: true }],
    examples: {
      "A kind review": { text: "A warm and funny film that never once talks down to its audience." },
      "A harsh one": { text: "Two hours of noise, and not a single line worth remembering." },
      "Neither": { text: "It starts slowly, and the ending is predictable, but the cast is a joy to watch." },
    },
    defaults: { top_k: 10 },
    input: (values) => (values.text_pair ? { text: values.text, text_pair: values.text_pair } : values.text),
    show: (answer) => labelBars([answer].flat(2).map(({ label, score }) => [label, score])),
    columns: ["text", "text_pair"],
    cells: (answer) => { const [best] = [answer].flat(); return { label: best.label, score: best.score }; },
  },
  "token-classification": {
    title: "Entities",
    question: "Which names of people, places and things are in it?",
    fields: [{ name: "text", label: "Text", rows: 5 }],
    examples: {
      "A life": { text: "Ada Lovelace was born in London and worked with Charles Babbage at Cambridge." },
      "News": { text: "Siemens and the city of Munich will build a new line, said Angela Weber on Friday." },
    },
    defaults: { aggregation_strategy: "simple" },
    input: (values) => values.text,
    show: showEntities,
    columns: ["text"],
    cells: (answer) => ({ entities: answer.map((entity) => `${entity.word} (${kindOf(entity)})`).join("; ") }),
  },
  "question-answering": {
    title: "Question",
    question: "Where in this text is the answer?",
    fields: [{ name: "question", label: "Question", rows: 1 }, { name: "context", label: "Text to read", rows: 7 }],
    examples: {
      "Where?": { question: "Where was Ada Lovelace born?", context: "Ada Lovelace was born in London in 1815. She wrote the first program for a machine that Charles Babbage had designed." },
      "Who?": { question: "Who designed the machine?", context: "Ada Lovelace was born in London in 1815. She wrote the first program for a machine that Charles Babbage had designed." },
    },
    defaults: { top_k: 3 },
    input: (values) => ({ question: values.question, context: values.context }),
    show: showSpans,
    columns: ["question", "context"],
    cells: (answer) => { const [best] = [answer].flat(); return { answer: best.answer, score: best.score, start: best.start, end: best.end }; },
  },
  "fill-mask": {
    title: "Fill mask",
    question: "Which word fills [MASK]?",
    fields: [{ name: "text", label: "Text with [MASK]", rows: 3 }],
    examples: {
      "A capital": { text: "The capital of France is [MASK]." },
      "A verb": { text: "She opened the door and [MASK] into the garden." },
    },
    defaults: {},
    input: (values) => values.text,
    show: showProposals,
    columns: ["text"],
    cells: (answer) => { const [best] = answer.flat(); return { token: best.token_str.trim(), score: best.score }; },
  },
  "zero-shot-classification": {
    title: "Zero-shot",
    question: "Which of these labels, never trained on, fits?",
    fields: [{ name: "text", label: "Text", rows: 4 }, { name: "candidate_labels", label: "Labels, one on a line", rows: 4, lines: true, parameter: true }],
    examples: {
      "Topic": { text: "The striker scored twice in the last ten minutes.", candidate_labels: ["sports", "politics", "cooking"] },
      "Urgency": { text: "My card was stolen an hour ago, please block it.", candidate_labels: ["urgent", "can wait"] },
    },
    defaults: {},
    input: (values) => values.text,
    show: (answer) => labelBars(answer.labels.map((label, index) => [label, answer.scores[index]])),
    columns: ["text"],
    cells: (answer) => ({ label: answer.labels[0], score: answer.scores[0] }),
  },
  "multiple-choice": {
    title: "Choice",
    question: "Which of these continuations is right?",
    fields: [
      { name: "context", label: "Context", rows: 3 },
      { name: "question", label: "Question (may be empty)", rows: 1, optional: true },
      { name: "choices", label: "Choices, one on a line", rows: 4, lines: true },
    ],
    examples: {
      "Because": { context: "She opened the umbrella because", question: "", choices: ["it rained.", "it was Monday.", "the soup was hot."] },
    },
    defaults: {},
    input: (values) => ({ context: values.context, ...(values.question && { question: values.question }), choices: values.choices }),
    show: (answer, values) => labelBars(values.choices.map((choice, index) => [choice, answer.scores[index]]).sort((a, b) => b[1] - a[1])),
    columns: null,
  },
  "feature-extraction": {
    title: "Vector",
    question: "Which vector represents this text?",
    fields: [{ name: "text", label: "Text", rows: 4 }],
    examples: {
      "A sentence": { text: "A sentence becomes a point, and its neighbours mean nearly the same." },
      "A word": { text: "umbrella" },
    },
    defaults: { pooling: "auto" },
    input: (values) => values.text,
    show: showVector,
    columns: ["text"],
    cells: (answer) => ({ vector: JSON.stringify(answer) }),
  },
  "sentence-similarity": {
    title: "Similarity",
    question: "Which of these sentences mean the same?",
    fields: [{ name: "sentences", label: "Sentences, one on a line", rows: 6, lines: true }],
    examples: {
      "Cars and weather": { sentences: ["A red car stands in the yard.", "There is a crimson automobile outside.", "It will rain tomorrow.", "The forecast says showers."] },
      "Support": { sentences: ["Where is my money?", "How do I get a refund?", "I forgot my password."] },
    },
    defaults: {},
    input: (values) => values.sentences.map((source) => ({ source_sentence: source, sentences: values.sentences })),
    show: showMatrix,
    columns: ["text", "text_pair"],
    cells: (answer) => ({ similarity: answer }),
  },
};

// Drawing answers ------------------------------------------------------------------------------------------------------

/** Names with bars, the best first; scores outside of 0 to 1 are numbers without bars. */
function labelBars(pairs) {
  const areShares = pairs.every(([, score]) => score >= 0 && score <= 1);
  const [best] = pairs;
  const value = (score) => (areShares ? percent(score) : fixed(score, 3));
  const list = element("ol", { className: "bars" });
  pairs.forEach(([name, score], index) => {
    const item = element("li", { className: index === 0 ? "best" : "" }, element("span", { className: "name" }, name), element("span", { className: "value" }, value(score)));
    if (areShares) {
      const fill = element("div", { className: "fill" });
      fill.style.width = `${100 * score}%`;
      item.append(element("div", { className: "track" }, fill));
    }
    list.append(item);
  });
  const head = best ? element("p", { className: "headline" }, best[0], element("small", {}, value(best[1]))) : null;
  return { nodes: [head, list].filter(Boolean), summary: best ? `${best[0]}, ${value(best[1])}` : "no label" };
}

const kindOf = (entity) => entity.entity_group ?? entity.entity;
const hues = new Map([["PER", 0], ["LOC", 1], ["ORG", 2], ["MISC", 3]]);

/** The colour of a kind of entity: the same one on this page from now on. */
function hueOf(kind) {
  const plain = kind.replace(/^[BIESLU]-/, "");
  if (!hues.has(plain)) hues.set(plain, hues.size % 6);
  return `hue-${hues.get(plain)}`;
}

/** A text in which spans are marked; where spans overlap, the first one counts. */
function marked(text, spans, decorate) {
  const points = Array.from(text);
  const nodes = [];
  let place = 0;
  for (const span of [...spans].sort((a, b) => a.start - b.start || b.end - a.end)) {
    if (span.start < place || span.end <= span.start) continue;
    nodes.push(slice(points, place, span.start), decorate(span, slice(points, span.start, span.end)));
    place = span.end;
  }
  nodes.push(slice(points, place));
  return nodes;
}

function showEntities(answer, values) {
  const decorate = (entity, text) => element("mark", { className: hueOf(kindOf(entity)), title: percent(entity.score) }, text, element("span", { className: "kind" }, kindOf(entity)));
  const nodes = [element("p", { className: "reading" }, ...marked(values.text, answer, decorate))];
  if (answer.length) {
    const rows = answer.map((entity) => [slice(Array.from(values.text), entity.start, entity.end), kindOf(entity), `${entity.start} to ${entity.end}`, percent(entity.score)]);
    nodes.push(table("Entities", ["Text", "Kind", "Characters", "Score"], rows, [2, 3]));
  }
  return { nodes, summary: answer.length ? answer.map((entity) => `${entity.word}: ${kindOf(entity)}`).join(", ") : "no entities" };
}

function showSpans(answer, values) {
  const spans = [answer].flat();
  const decorate = (span, text) => element("mark", { className: span === spans[0] ? "best" : "", title: percent(span.score) }, text);
  const { nodes, summary } = labelBars(spans.map((span) => [span.answer || "no answer", span.score]));
  // The best answer is marked even where another one overlaps it.
  const apart = spans.filter((span, index) => index === 0 || span.end <= spans[0].start || span.start >= spans[0].end);
  const reading = element("p", { className: "context", tabIndex: 0, role: "region", "aria-label": "The text with its answers" }, ...marked(values.context, apart, decorate));
  return { nodes: [nodes[0], reading, nodes[1]], summary };
}

function showProposals(answer, values) {
  const masks = Array.isArray(answer[0]) ? answer : [answer];
  const nodes = [];
  masks.forEach((proposals, index) => {
    if (masks.length > 1) nodes.push(element("p", { className: "note" }, `Mask ${index + 1} of ${masks.length}`));
    nodes.push(...labelBars(proposals.map(({ token_str, score }) => [token_str.trim(), score])).nodes);
  });
  const [head, end] = values.text.split("[MASK]");
  if (masks.length === 1 && masks[0].length) {
    nodes.splice(1, 0, element("p", { className: "reading" }, head, element("mark", { className: "best" }, masks[0][0].token_str.trim()), end ?? ""));
  }
  return { nodes, summary: masks.map((proposals) => proposals[0]?.token_str.trim()).join(", ") };
}

function showVector(answer) {
  const isMatrix = Array.isArray(answer[0]);
  const vector = (isMatrix ? answer.flat(Infinity) : answer).slice(0, 4096);
  const most = Math.max(...vector.map(Math.abs)) || 1;
  const width = vector.length;
  const outline = vector.map((value, index) => `M${index} 50V${(50 - 48 * (value / most)).toFixed(1)}h.85V50z`).join("");
  const strip = drawing(width, 100, `The numbers of the vector as bars, from ${(-most).toFixed(2)} to ${most.toFixed(2)}`, ["path", { d: outline }], ["line", { x1: 0, x2: width, y1: 50, y2: 50 }]);
  strip.classList.add("strip");
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  const dimensions = isMatrix ? `${[answer].flat().length} vectors of ${[answer[0]].flat().length}` : `${answer.length}`;
  const facts = element("p", { className: "facts" }, element("span", {}, "Numbers ", element("b", {}, dimensions)), element("span", {}, "Length ", element("b", {}, length.toFixed(3))), element("span", {}, "Largest ", element("b", {}, most.toFixed(3))));
  const numbers = element("pre", { tabIndex: 0, "aria-label": "The vector", role: "region" }, JSON.stringify(answer, (key, value) => (typeof value === "number" ? Number(value.toFixed(6)) : value)).slice(0, 20000));
  return { nodes: [strip, facts, numbers], summary: `a vector of ${dimensions} numbers` };
}

function showMatrix(answer, values) {
  const rows = answer.length && Array.isArray(answer[0]) ? answer : [answer];
  const head = element("tr", {}, element("td", {}, ""), ...rows[0].map((_, index) => element("th", { scope: "col", title: values.sentences[index] }, `${index + 1}`)));
  let closest = [0, 0, -2];
  const body = rows.map((scores, row) => element("tr", {}, element("th", { scope: "row" }, `${row + 1}. ${values.sentences[row]}`), ...scores.map((score, column) => {
    if (row < column && score > closest[2]) closest = [row, column, score];
    const cell = element("td", {}, fixed(score, 2));
    cell.style.setProperty("--heat", Math.max(0, score).toFixed(3));
    return cell;
  })));
  const matrix = element("table", { className: "matrix" }, element("caption", { className: "hidden" }, "Similarity of each sentence to each other, from -1 to 1"), element("thead", {}, head), element("tbody", {}, ...body));
  const nodes = [element("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Similarities" }, matrix)];
  const summary = closest[2] > -2 ? `closest: ${closest[0] + 1} and ${closest[1] + 1}, ${fixed(closest[2], 2)}` : "one sentence";
  if (closest[2] > -2) nodes.unshift(element("p", { className: "headline" }, `${closest[0] + 1} and ${closest[1] + 1}`, element("small", {}, `are closest, ${fixed(closest[2], 2)}`)));
  return { nodes, summary };
}

function table(title, names, rows, numeric = [], className = "") {
  const head = element("tr", {}, ...names.map((name, index) => element("th", { scope: "col", className: numeric.includes(index) ? "number" : "" }, name)));
  const body = rows.map((cells) => element("tr", {}, ...cells.map((cell, index) => element("td", { className: numeric.includes(index) ? "number" : "" }, cell))));
  return element("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": title }, element("table", { className }, element("caption", { className: "hidden" }, title), element("thead", {}, head), element("tbody", {}, ...body)));
}

// The server -----------------------------------------------------------------------------------------------------------

class Refused extends Error {
  constructor(message, status) { super(message); this.status = status; }
}

/** Call the server; its errors become sentences. */
async function call(path, options = {}) {
  const headers = { ...options.headers };
  if (state.key) headers.Authorization = `Bearer ${state.key}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The server does not answer. Is it still running?", 0);
  }
  if (response.ok) return response;
  const text = await response.text();
  let message = text;
  try { message = messageOf(JSON.parse(text)); } catch { /* it is no JSON */ }
  if (response.status === 401) { openKeyPanel(true); message = "This server asks for an API key: enter it at the top of the page."; }
  throw new Refused(message || `The server answered with status ${response.status}.`, response.status);
}

function messageOf(body) {
  const error = body.error ?? body.message ?? body.detail ?? body;
  return typeof error === "string" ? error : error.message ?? JSON.stringify(error);
}

const state = { models: [], openapi: null, task: null, key: memory.get("distilbert-key") ?? "", values: {}, file: null, running: null, number: 0, lastBody: null };

const path = (task = state.task) => `v1/${task}`;
const modelNamed = (name) => state.models.find((model) => model.name === name);

async function connect() {
  try {
    const [models, openapi] = await Promise.all([call("v1/models"), call("openapi.json")]);
    state.models = readModels(await models.json());
    state.openapi = await openapi.json();
  } catch (error) {
    showState(error.status === 401 ? "needs an API key" : error.message, "failed");
    return;
  }
  showState(state.models.length === 1 ? `ready, ${state.models[0].name}` : `ready, ${plural(state.models.length, "model")}`, "ready");
  drawTasks();
  const named = location.hash.slice(1);
  const available = Object.keys(TASKS).filter((task) => modelsFor(task).length);
  if (available.length) chooseTask(available.includes(named) ? named : firstTask(available));
  else showState("no model is served", "failed");
}

function readModels(body) {
  return (body.data ?? body.models ?? body).map((model) => ({ ...model, name: model.id ?? model.name, tasks: model.tasks ?? [] }));
}

const firstTask = (available) => state.models.map((model) => model.tasks[0]).find((task) => available.includes(task)) ?? available[0];
const modelsFor = (task) => state.models.filter((model) => model.tasks.includes(task));

function showState(text, className) {
  byId("state").textContent = text;
  byId("state").className = `state ${className}`;
}

// Task, model and input ------------------------------------------------------------------------------------------------

function drawTasks() {
  byId("tasks").replaceChildren(...Object.entries(TASKS).map(([name, task]) => {
    const isAvailable = modelsFor(name).length > 0;
    const input = element("input", { type: "radio", name: "task", value: name, disabled: !isAvailable });
    input.addEventListener("change", () => chooseTask(name));
    return element("label", { className: isAvailable ? "" : "unavailable", title: isAvailable ? task.question : "No model of this server does this" }, input, element("span", {}, task.title));
  }));
}

function chooseTask(name) {
  stop();
  state.task = name;
  history.replaceState(null, "", `#${name}`);
  const task = TASKS[name];
  document.querySelector(`#tasks input[value="${name}"]`).checked = true;
  byId("question").replaceChildren(element("code", {}, name), task.question);
  const before = byId("model").value;
  byId("model").replaceChildren(...modelsFor(name).map((model) => element("option", { value: model.name }, model.name)));
  // The model that was made for the task goes before one that merely can do it.
  const made = name === "sentence-similarity" ? "feature-extraction" : name; // both are answered by vectors
  const own = modelsFor(name).find((model) => model.tasks[0] === made);
  byId("model").value = own?.name ?? (modelsFor(name).some((model) => model.name === before) ? before : modelsFor(name)[0].name);
  byId("examples").replaceChildren(...Object.entries(task.examples).map(([title, values]) => {
    const button = element("button", { type: "button" }, title);
    button.addEventListener("click", () => { setValues(values); send(); });
    return button;
  }));
  closeFile();
  byId("fields").replaceChildren(...task.fields.map(field));
  byId("drop").hidden = !task.columns;
  setValues(state.values[name] ?? Object.values(task.examples)[0]);
  drawParameters();
  if (byId("typing").checked) send();
  else showEmpty();
}

function field({ name, label, rows, optional }) {
  const box = element(rows === 1 ? "input" : "textarea", { id: `field-${name}`, required: !optional });
  if (rows > 1) box.rows = rows;
  else box.type = "text";
  box.addEventListener("input", onTyping);
  return element("div", { className: "field" }, element("label", { for: box.id }, label), box);
}

function setValues(values) {
  for (const { name } of TASKS[state.task].fields) {
    const value = values[name] ?? "";
    byId(`field-${name}`).value = Array.isArray(value) ? value.join("\n") : value;
  }
  drawCall();
}

function values() {
  const read = {};
  for (const field of TASKS[state.task].fields) {
    const text = byId(`field-${field.name}`).value;
    read[field.name] = field.lines ? lines(text) : text;
  }
  state.values[state.task] = read;
  return read;
}

const missing = (read) => TASKS[state.task].fields.find(({ name, optional }) => !optional && !(Array.isArray(read[name]) ? read[name].length : read[name].trim()));

let timer;
function onTyping() {
  drawCall();
  clearTimeout(timer);
  if (byId("typing").checked && !state.file) timer = setTimeout(send, 250);
}

// Parameters, from the server's description of itself ------------------------------------------------------------------

function resolved(schema) {
  let result = schema;
  while (result?.$ref) result = result.$ref.slice(2).split("/").reduce((node, key) => node?.[key.replace(/~1/g, "/").replace(/~0/g, "~")], state.openapi);
  return result ?? {};
}

function parameterSchemas() {
  const body = state.openapi?.paths?.[`/v1/${state.task}`]?.post?.requestBody?.content?.["application/json"]?.schema;
  return resolved(resolved(body).properties?.parameters).properties ?? {};
}

function drawParameters() {
  const own = TASKS[state.task].fields.filter(({ parameter }) => parameter).map(({ name }) => name);
  const entries = Object.entries(parameterSchemas()).filter(([name]) => !own.includes(name));
  byId("parameters").replaceChildren(...entries.map(([name, schema]) => parameter(name, resolved(schema))));
  byId("parameters").parentElement.hidden = !entries.length;
  countParameters();
}

function parameter(name, schema) {
  const forms = [schema, ...(schema.anyOf ?? schema.oneOf ?? [])].map(resolved);
  const types = new Set(forms.flatMap(({ type }) => type ?? []));
  const choices = [...new Set(forms.flatMap((form) => form.enum ?? (form.const === undefined ? [] : [form.const])))];
  const preset = TASKS[state.task].defaults[name];
  const standard = schema.default === undefined || schema.default === null ? "" : typeof schema.default === "string" ? schema.default : JSON.stringify(schema.default);
  let box;
  if (choices.length || (types.has("boolean") && types.size <= 2 && !types.has("string"))) {
    const options = (choices.length ? choices : [true, false]).filter((choice) => choice !== null);
    box = element("select", {}, element("option", { value: "" }, standard ? `${standard} (as usual)` : "as usual"), ...options.map((choice) => element("option", { value: JSON.stringify(choice) }, String(choice))));
    if (preset !== undefined) box.value = JSON.stringify(preset);
  } else {
    box = element("input", { type: "text", autocomplete: "off", spellcheck: false, placeholder: standard || "as usual" });
    if (preset !== undefined) box.value = String(preset);
  }
  box.id = `parameter-${name}`;
  box.dataset.types = [...types].join(" ");
  box.addEventListener("input", () => { countParameters(); onTyping(); });
  const text = schema.description ? element("p", { id: `about-${name}` }, schema.description.replace(/`/g, "")) : null;
  if (text) box.setAttribute("aria-describedby", text.id);
  return element("div", {}, element("label", { for: box.id }, name), box, text);
}

/** What a box says: numbers, lists and null as they are in JSON; anything else is a text, or a list with commas. */
function parameterValue(box) {
  const text = box.value.trim();
  if (!text) return undefined;
  if (box.tagName === "SELECT") return JSON.parse(text);
  try {
    const value = JSON.parse(text);
    if (typeof value !== "string") return value;
  } catch { /* it is a plain text */ }
  const types = (box.dataset.types ?? "").split(" ");
  return types.includes("array") && (text.includes(",") || !types.includes("string")) ? text.split(",").map((entry) => entry.trim()).filter(Boolean) : box.value;
}

function parameters(read = {}) {
  const chosen = {};
  for (const { name, parameter } of TASKS[state.task].fields) if (parameter && read[name]) chosen[name] = read[name];
  for (const box of byId("parameters").querySelectorAll("select, input")) {
    const value = parameterValue(box);
    if (value !== undefined) chosen[box.id.slice("parameter-".length)] = value;
  }
  return chosen;
}

function countParameters() {
  const count = [...byId("parameters").querySelectorAll("select, input")].filter((box) => box.value.trim()).length;
  byId("parameter-count").textContent = count ? `(${count} set)` : "";
}

// Asking ---------------------------------------------------------------------------------------------------------------

function requestBody(read) {
  const body = { inputs: TASKS[state.task].input(read) };
  const chosen = parameters(read);
  if (Object.keys(chosen).length) body.parameters = chosen;
  if (state.models.length > 1) body.model = byId("model").value;
  return body;
}

function stop() {
  clearTimeout(timer);
  state.running?.abort();
  state.running = null;
  byId("stop").hidden = true;
}

async function send() {
  stop();
  if (!state.task) return;
  if (state.file) { await answerFile(); return; }
  const read = values();
  const lacking = missing(read);
  if (lacking) { showEmpty(`${lacking.label}: still empty.`); return; }
  const running = (state.running = new AbortController());
  const [task, body, start] = [TASKS[state.task], requestBody(read), performance.now()];
  drawCall();
  try {
    const response = await call(path(), { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal: running.signal });
    const answer = await response.json();
    const taken = performance.now() - start;
    if (state.running !== running) return;
    const { nodes, summary } = task.show(answer, read);
    byId("answer").replaceChildren(...nodes);
    announce(summary);
    showTimes(response.headers, taken);
  } catch (error) {
    if (error.name === "AbortError" || state.running !== running) return;
    showError(error);
  } finally {
    if (state.running === running) state.running = null;
  }
}

function showEmpty(text = "Type something, or take an example.") {
  byId("answer").replaceChildren(element("p", { className: "empty" }, text));
  byId("latency").textContent = "";
  byId("times").hidden = true;
}

function showError(error) {
  byId("answer").replaceChildren(element("p", { className: "error", role: "alert" }, error.message));
  byId("latency").textContent = "";
  byId("times").hidden = true;
  if (!(error instanceof Refused)) console.error(error);
}

function announce(text) {
  byId("announcement").textContent = `Answer: ${text}`;
}

const STEPS = [["tokenization", "tokenize"], ["queue", "wait"], ["inference", "compute"]]; // of the header Server-Timing

function showTimes(headers, taken) {
  const number = (name) => (headers.get(name) === null ? null : Number(headers.get(name)));
  const tokens = number("x-compute-tokens");
  const windows = Math.max(0, ...(headers.get("x-windows") ?? "").split(",").map(Number));
  byId("latency").textContent = [tokens === null ? null : plural(tokens, "token"), windows > 1 ? `${windows} windows` : null, milliseconds(taken)].filter(Boolean).join(" · ");
  const timing = headers.get("server-timing") ?? "";
  const duration = (name) => timing.match(new RegExp(`(?:^|[ ,])${name};dur=([0-9.]+)`))?.[1];
  const steps = STEPS.map(([name, title]) => [title, duration(name)]).filter(([, value]) => value !== undefined).map(([title, value]) => [title, Number(value)]);
  byId("times").hidden = !steps.length;
  if (!steps.length) return;
  steps.push(["network and page", Math.max(0, taken - steps.reduce((sum, [, value]) => sum + value, 0))]);
  byId("times").replaceChildren(
    element("div", { className: "time-bar", "aria-hidden": "true" }, ...steps.map(([, value], index) => {
      const segment = element("div", { className: `time-${index}` });
      segment.style.flexGrow = value;
      return segment;
    })),
    element("div", { className: "legend" }, ...steps.map(([title, value], index) => element("span", {}, element("i", { className: `time-${index}`, "aria-hidden": "true" }), `${title} ${milliseconds(value)}`))),
  );
}

// The same call as code ------------------------------------------------------------------------------------------------

let language = "curl";

function drawCall() {
  if (!state.task) return;
  const url = new URL(path(), location.href.split("#")[0]).href;
  const [inCurl, inPython] = state.file ? [fileAsCurl, fileAsPython] : [asCurl, asPython];
  byId("code").textContent = (language === "curl" ? inCurl : inPython)(state.file ? queryOfFile() : requestBody(values()), url);
}

const quotedForShell = (text) => `'${text.replace(/'/g, `'\\''`)}'`;

function asCurl(body, url) {
  const key = state.key ? `  -H "Authorization: Bearer $DISTILBERT_API_KEY" \\\n` : "";
  return `curl ${quotedForShell(url)} \\\n${key}  -H 'Content-Type: application/json' \\\n  -d ${quotedForShell(JSON.stringify(body))}\n`;
}

function pythonLiteral(value, indent) {
  if (value === null) return "None";
  if (value === true || value === false) return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const parts = Array.isArray(value) ? value.map((entry) => pythonLiteral(entry, indent + 4)) : Object.entries(value).map(([key, entry]) => `${JSON.stringify(key)}: ${pythonLiteral(entry, indent + 4)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const short = `${open}${parts.join(", ")}${close}`;
  if (indent + short.length < 88 || !parts.length) return short;
  const space = " ".repeat(indent);
  return `${open}\n${parts.map((part) => `${space}    ${part},\n`).join("")}${space}${close}`;
}

function asPython(body, url) {
  const key = state.key ? `    headers={"Authorization": f"Bearer {os.environ['DISTILBERT_API_KEY']}"},\n` : "";
  return `${state.key ? "import os\n\n" : ""}import requests\n\nresponse = requests.post(\n    ${JSON.stringify(url)},\n    json=${pythonLiteral(body, 4)},\n${key})\nresponse.raise_for_status()\nprint(response.json())\n`;
}

const fileAsCurl = (query, url) => `# inputs.jsonl has an input on each line, as JSON; so has answers.jsonl, when it is there\ncurl --no-buffer ${quotedForShell(url + query)} \\\n${state.key ? `  -H "Authorization: Bearer $DISTILBERT_API_KEY" \\\n` : ""}  -H 'Content-Type: application/x-ndjson' \\\n  --data-binary @inputs.jsonl --output answers.jsonl\n`;

const fileAsPython = (query, url) => `import json${state.key ? "\nimport os" : ""}\n\nimport requests\n\nwith open("inputs.jsonl", "rb") as inputs:  # an input on each line, as JSON\n    response = requests.post(\n        ${JSON.stringify(url + query)},\n        data=inputs,\n        headers={\n            "Content-Type": "application/x-ndjson",\n${state.key ? `            "Authorization": f"Bearer {os.environ['DISTILBERT_API_KEY']}",\n` : ""}        },\n        stream=True,\n    )\n    response.raise_for_status()\n    for line in response.iter_lines():\n        print(json.loads(line))\n`;

function chooseLanguage(name) {
  language = name;
  for (const tab of document.querySelectorAll('[role="tab"]')) {
    const isChosen = tab.id === `tab-${name}`;
    tab.setAttribute("aria-selected", String(isChosen));
    tab.tabIndex = isChosen ? 0 : -1;
    if (isChosen) byId("call").setAttribute("aria-labelledby", tab.id);
  }
  drawCall();
}

// Files ----------------------------------------------------------------------------------------------------------------

const ROWS_SHOWN = 200;
const ROWS_NAMED = 20;
const ROWS_OF_A_CALL = 500;
const CHARACTERS_OF_A_CALL = 2_000_000;

/** Rows of a CSV file: quoted fields may hold delimiters, line breaks and doubled quotes. */
function parseTable(text) {
  const [head] = text.split("\n", 1);
  const delimiter = ["\t", ";", ",", "|"].map((each) => [each, head.split(each).length]).sort((a, b) => b[1] - a[1])[0];
  const separator = delimiter[1] > 1 ? delimiter[0] : ",";
  const rows = [];
  let row = [], cell = "", isQuoted = false;
  for (let index = 0; index < text.length; index += 1) {
    const character = text[index];
    if (isQuoted) {
      if (character !== '"') cell += character;
      else if (text[index + 1] === '"') { cell += '"'; index += 1; }
      else isQuoted = false;
    } else if (character === '"' && !cell) isQuoted = true;
    else if (character === separator) { row.push(cell); cell = ""; }
    else if (character === "\n") { row.push(cell); rows.push(row); row = []; cell = ""; }
    else if (character !== "\r") cell += character;
  }
  if (cell || row.length) { row.push(cell); rows.push(row); }
  return rows.filter((each) => each.length > 1 || each[0].trim());
}

const asCell = (value) => (/[",\n\r]/.test(value) ? `"${value.replace(/"/g, '""')}"` : value);

/** The text of a file, and a remark where its encoding is a guess; null where it is no text. */
function decoded(bytes) {
  const [first, second] = bytes;
  const marked = first === 0xff && second === 0xfe ? "utf-16le" : first === 0xfe && second === 0xff ? "utf-16be" : "utf-8";
  try {
    const text = new TextDecoder(marked, { fatal: true }).decode(bytes);
    return text.includes("\0") ? null : { text, remark: "" };
  } catch {
    const text = new TextDecoder("windows-1252").decode(bytes);
    return /[\0-\x08\x0e-\x1f]/.test(text) ? null : { text, remark: "It is not in UTF-8, so it was read as windows-1252: check its accents." };
  }
}

async function openFile(file) {
  if (!TASKS[state.task]?.columns) { showError(new Refused(`Files are not read for ${state.task}: use \`distilbert run\`.`)); return; }
  stop();
  const content = decoded(new Uint8Array(await file.arrayBuffer()));
  if (!content) { showError(new Refused(`${file.name} is no text: save the table as a CSV file in UTF-8.`)); return; }
  const { text, remark } = content;
  const rows = file.name.endsWith(".txt") ? [["text"], ...lines(text).map((line) => [line])] : parseTable(text);
  if (rows.length < 2) { showError(new Refused(`${file.name} has no rows: its first line must name the columns.`)); return; }
  const [names, ...body] = rows;
  state.file = { name: file.name, remark, names: names.map((name, index) => name.trim() || `column ${index + 1}`), rows: body, results: [] };
  byId("fields").hidden = true;
  for (const { name, parameter } of TASKS[state.task].fields) if (parameter) { byId("fields").hidden = false; byId(`field-${name}`).parentElement.hidden = false; } else byId(`field-${name}`).parentElement.hidden = true;
  byId("file-panel").hidden = false;
  byId("examples").hidden = true;
  byId("drop").hidden = true;
  byId("typing").parentElement.hidden = true;
  drawFilePanel();
  drawCall();
  showEmpty(`${plural(body.length, "row")} to answer.`);
  byId("send").textContent = `Answer ${plural(body.length, "row")}`;
  byId("send").focus();
}

const KNOWN_NAMES = {
  text: ["text", "sentence", "review", "content", "comment", "tweet", "message", "document", "body", "sentence1", "premise", "question1"],
  text_pair: ["text_pair", "sentence2", "hypothesis", "question2", "passage"],
  question: ["question", "query"],
  context: ["context", "passage", "paragraph", "document", "text"],
};

function drawFilePanel() {
  const { name, remark, names, rows } = state.file;
  const close = element("button", { type: "button", className: "quiet" }, "Back to typing");
  close.addEventListener("click", () => { stop(); closeFile(); drawCall(); send(); });
  const isOptional = (column) => TASKS[state.task].fields.find((each) => each.name === column)?.optional;
  const lower = names.map((each) => each.toLowerCase());
  const choices = TASKS[state.task].columns.flatMap((column) => {
    const known = KNOWN_NAMES[column].map((each) => lower.indexOf(each)).find((index) => index >= 0);
    const longest = names.map((_, index) => rows.slice(0, 50).reduce((sum, row) => sum + (row[index]?.length ?? 0), 0));
    const select = element("select", { id: `column-${column}` }, ...(isOptional(column) ? [element("option", { value: "" }, "none")] : []), ...names.map((each, index) => element("option", { value: index }, each)));
    select.value = known ?? (isOptional(column) ? "" : longest.indexOf(Math.max(...longest)));
    return [element("label", { for: select.id }, column.replace("_", " ")), select];
  });
  byId("file-panel").replaceChildren(
    element("div", { className: "file-name" }, element("strong", {}, name), element("span", { className: "note" }, plural(rows.length, "row")), close),
    remark ? element("p", { className: "note" }, remark) : "",
    element("div", { className: "column-choice" }, ...choices),
  );
}

function closeFile() {
  state.file = null;
  byId("file").value = "";
  byId("file-panel").hidden = true;
  byId("fields").hidden = false;
  byId("examples").hidden = false;
  byId("drop").hidden = !TASKS[state.task].columns;
  byId("typing").parentElement.hidden = false;
  for (const box of byId("fields").querySelectorAll(".field")) box.hidden = false;
  byId("send").textContent = "Answer";
}

/** The input of a row; null where a cell that is needed is empty. */
function inputOfRow(row) {
  const cells = {};
  for (const column of TASKS[state.task].columns) {
    const index = byId(`column-${column}`).value;
    const cell = index === "" ? "" : row[Number(index)] ?? "";
    if (cell.trim()) cells[column] = cell;
    else if (!TASKS[state.task].fields.find((each) => each.name === column)?.optional) return null;
  }
  return Object.keys(cells).length === 1 && "text" in cells ? cells.text : cells;
}

async function answerFile() {
  const running = (state.running = new AbortController());
  const { file } = state;
  const query = queryOfFile();
  file.results = new Array(file.rows.length).fill(null);
  const inputs = file.rows.map(inputOfRow);
  const start = performance.now();
  const view = fileView(file);
  byId("answer").replaceChildren(...view.nodes);
  byId("times").hidden = true;
  byId("stop").hidden = false;
  const unanswered = [];
  let tokens = 0, done = 0;
  try {
    for (let first = 0; first < inputs.length;) {
      const numbers = [];
      let characters = 0;
      while (first < inputs.length && numbers.length < ROWS_OF_A_CALL && characters < CHARACTERS_OF_A_CALL) {
        if (inputs[first] === null) unanswered.push(first + 1);
        else { numbers.push(first); characters += JSON.stringify(inputs[first]).length; }
        first += 1;
      }
      if (!numbers.length) continue;
      const response = await streamed(numbers.map((number) => inputs[number]), query, running.signal);
      let place = 0;
      for await (const line of linesOf(response)) {
        const number = numbers[place++];
        file.results[number] = line;
        done += 1;
        view.add(number, line);
        if (done % 25 === 0) view.progress(done, performance.now() - start);
      }
      tokens += Number(response.headers.get("x-compute-tokens") ?? 0);
    }
    const taken = performance.now() - start;
    view.progress(done, taken);
    view.finish(unanswered);
    announce(`${plural(done, "row")} in ${(taken / 1000).toFixed(1)} seconds`);
    byId("latency").textContent = [tokens ? plural(tokens, "token") : null, `${(taken / 1000).toFixed(1)} s`].filter(Boolean).join(" · ");
  } catch (error) {
    if (error.name === "AbortError") { view.finish(); return; }
    byId("answer").prepend(element("p", { className: "error", role: "alert" }, error.message));
  } finally {
    if (state.running === running) { state.running = null; byId("stop").hidden = true; }
  }
}

/** The query of a call with lines of JSON, which says what the body of other calls says. */
function queryOfFile() {
  const query = new URLSearchParams();
  if (state.models.length > 1) query.set("model", byId("model").value);
  const chosen = parameters(values());
  if ("top_k" in TASKS[state.task].defaults) chosen.top_k = 1; // a row has room for the best answer only
  if (Object.keys(chosen).length) query.set("parameters", JSON.stringify(chosen));
  return query.size ? `?${query}` : "";
}

/** Send inputs as lines of JSON; the server waits by itself while it is busy. */
async function streamed(inputs, query, signal) {
  const body = inputs.map((input) => `${JSON.stringify(input)}\n`).join("");
  return call(`${path()}${query}`, { method: "POST", headers: { "Content-Type": "application/x-ndjson" }, body, signal });
}

async function* linesOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    const parts = (rest + (value ?? "")).split("\n");
    rest = done ? "" : parts.pop();
    for (const part of parts) if (part) yield JSON.parse(part);
    if (done) return;
  }
}

const cellsOf = (answer) => (answer === null ? {} : answer?.error ? { error: messageOf(answer) } : TASKS[state.task].cells(answer));
const shown = (value) => (typeof value === "number" ? (Number.isInteger(value) ? String(value) : fixed(value, 4)) : String(value ?? ""));

function fileView(file) {
  const fill = element("div");
  const bar = element("div", { className: "progress", role: "progressbar", "aria-label": "Rows answered", "aria-valuemin": "0", "aria-valuemax": String(file.rows.length), "aria-valuenow": "0" }, fill);
  const facts = element("p", { className: "facts" });
  const unansweredNote = element("p", { className: "note", hidden: true });
  const body = element("tbody");
  const counts = new Map();
  const summary = element("div");
  const rows = element("div", { className: "scroll", tabIndex: 0, role: "region", "aria-label": "Answers" }, element("table", { className: "rows" }, element("caption", { className: "hidden" }, "Answers"), element("thead", {}, element("tr", {}, element("th", { scope: "col", className: "number" }, "Row"), element("th", { scope: "col" }, "Input"), element("th", { scope: "col" }, "Answer"), element("th", { scope: "col", className: "number" }, "Score"))), body));
  const actions = element("div");
  return {
    nodes: [bar, facts, unansweredNote, actions, summary, rows],
    add(number, answer) {
      const cells = cellsOf(answer);
      const { score, similarity, ...others } = cells;
      const [result] = Object.values(others);
      if (others.label !== undefined) counts.set(others.label, (counts.get(others.label) ?? 0) + 1);
      if (number >= ROWS_SHOWN) return;
      const input = inputOfRow(file.rows[number]);
      const text = typeof input === "string" ? input : Object.values(input ?? {}).join(" | ");
      body.append(element("tr", {}, element("td", { className: "number" }, String(number + 1)), element("td", {}, element("div", { title: text }, text.length > 160 ? `${text.slice(0, 160)} ...` : text)), element("td", { className: others.error === undefined ? "result" : "result failed" }, shown(result).slice(0, 160)), element("td", { className: "number" }, shown(score ?? similarity))));
    },
    progress(done, taken) {
      fill.style.width = `${(100 * done) / file.rows.length}%`;
      bar.setAttribute("aria-valuenow", String(done));
      facts.replaceChildren(element("span", {}, element("b", {}, `${done.toLocaleString("en")}`), ` of ${plural(file.rows.length, "row")}`), element("span", {}, element("b", {}, Math.round(done / (taken / 1000)).toLocaleString("en")), " rows a second"));
      if (counts.size && counts.size <= 30) {
        const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
        summary.replaceChildren(labelBars([...counts].sort((a, b) => b[1] - a[1]).map(([label, count]) => [`${label}: ${count.toLocaleString("en")}`, count / total])).nodes[1]);
      }
    },
    finish(unanswered = []) {
      if (unanswered.length) {
        const some = unanswered.slice(0, ROWS_NAMED).join(", ");
        const more = unanswered.length > ROWS_NAMED ? ", ..." : "";
        unansweredNote.textContent = `${plural(unanswered.length, "row")} ${unanswered.length === 1 ? "has" : "have"} no answer: ${some}${more}. A cell that is needed is empty.`;
        unansweredNote.hidden = false;
        fill.style.width = "100%";
      }
      const button = element("button", { type: "button", className: "primary" }, "Download as CSV");
      button.addEventListener("click", () => download(file));
      actions.replaceChildren(button, file.rows.length > ROWS_SHOWN ? element("span", { className: "note" }, `  The table shows the first ${ROWS_SHOWN} rows.`) : "");
    },
  };
}

function download(file) {
  const cells = file.results.map(cellsOf);
  const added = [...new Set(cells.flatMap(Object.keys))];
  const names = added.map((name) => (file.names.includes(name) ? `answer_${name}` : name));
  const text = [[...file.names, ...names], ...file.rows.map((row, index) => [...file.names.map((_, column) => row[column] ?? ""), ...added.map((name) => String(cells[index][name] ?? ""))])].map((row) => row.map(asCell).join(",")).join("\r\n") + "\r\n";
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: `${file.name.replace(/\.\w+$/, "")}-answers.csv` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// Live figures, from /metrics ------------------------------------------------------------------------------------------

const PERIOD = 2000;
const watched = { before: null, points: new Map() };
const FIGURES = [
  ["Requests a second", (now, before, seconds) => difference(now, before, "distilbert_request_seconds_count") / seconds, (value) => (value < 10 ? value.toFixed(1) : compact.format(value))],
  ["Tokens a second", (now, before, seconds) => difference(now, before, "distilbert_tokens_total") / seconds, (value) => compact.format(Math.round(value))],
  ["Waiting", (now) => now.get("distilbert_queued_requests") ?? 0, (value) => compact.format(value)],
  ["Mean time", (now, before) => 1000 * mean(now, before, "distilbert_request_seconds"), (value) => (Number.isFinite(value) ? milliseconds(value) : "-")],
  ["Sequences a batch", (now, before) => mean(now, before, "distilbert_batch_sequences"), (value) => (Number.isFinite(value) ? value.toFixed(1) : "-")],
];

const difference = (now, before, name) => Math.max(0, (now.get(name) ?? 0) - (before.get(name) ?? 0));
const mean = (now, before, name) => difference(now, before, `${name}_sum`) / difference(now, before, `${name}_count`);

/** The figures of Prometheus' text format, each the sum over its labels. */
function parseMetrics(text) {
  const sums = new Map();
  for (const line of text.split("\n")) {
    const parts = /^([a-zA-Z_:][\w:]*)(?:\{.*\})? (\S+)/.exec(line);
    if (parts && !parts[1].endsWith("_bucket")) sums.set(parts[1], (sums.get(parts[1]) ?? 0) + Number(parts[2]));
  }
  return sums;
}

function drawLive() {
  byId("live").replaceChildren(...FIGURES.map(([title, , format]) => {
    const points = watched.points.get(title) ?? [];
    const last = points.at(-1);
    const known = [...new Array(60 - points.length).fill(0), ...points.map((value) => (Number.isFinite(value) ? value : 0))];
    const most = Math.max(...known, 1e-9);
    const outline = known.map((value, index) => `${index ? "L" : "M"}${index} ${(30 - 27 * (value / most)).toFixed(1)}`).join("");
    return element("div", {}, element("dt", {}, title), element("dd", {}, last === undefined ? "-" : format(last)), element("dd", { className: "spark", "aria-hidden": "true" }, drawing(59, 32, "", ["path", { d: outline }])));
  }));
}

async function watch() {
  if (!document.hidden) {
    try {
      const response = await call("metrics");
      const now = { figures: parseMetrics(await response.text()), time: performance.now() };
      const { before } = watched;
      if (before) {
        for (const [title, read] of FIGURES) {
          const points = [...(watched.points.get(title) ?? []), read(now.figures, before.figures, (now.time - before.time) / 1000)];
          watched.points.set(title, points.slice(-60));
        }
      }
      watched.before = now;
      if (byId("state").classList.contains("failed") && state.models.length) connect();
    } catch (error) {
      watched.before = null;
      if (error.status === 0) showState("does not answer", "failed");
    }
    drawLive();
  }
  setTimeout(watch, watched.points.size ? PERIOD : 500);
}

// The page -------------------------------------------------------------------------------------------------------------

const THEMES = ["system", "light", "dark"];

function setTheme(name) {
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  byId("theme").textContent = `Theme: ${name}`;
  memory.set("distilbert-theme", name);
}

function openKeyPanel(isOpen) {
  byId("key-panel").hidden = !isOpen;
  byId("key-button").setAttribute("aria-expanded", String(isOpen));
}

byId("theme").addEventListener("click", () => setTheme(THEMES[(THEMES.indexOf(memory.get("distilbert-theme") ?? document.documentElement.dataset.theme ?? "system") + 1) % 3]));
byId("key-button").addEventListener("click", () => { openKeyPanel(byId("key-panel").hidden); if (!byId("key-panel").hidden) byId("key").focus(); });
byId("key-panel").addEventListener("submit", (event) => {
  event.preventDefault();
  state.key = byId("key").value.trim();
  memory.set("distilbert-key", state.key, "sessionStorage");
  openKeyPanel(false);
  connect();
});
byId("form").addEventListener("submit", (event) => { event.preventDefault(); send(); });
byId("form").noValidate = true;
byId("form").addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); send(); } });
byId("stop").addEventListener("click", stop);
byId("model").addEventListener("change", () => { drawCall(); if (!state.file) send(); });
byId("file").addEventListener("change", (event) => { if (event.target.files.length) openFile(event.target.files[0]); });
for (const tab of document.querySelectorAll('[role="tab"]')) {
  tab.addEventListener("click", () => chooseLanguage(tab.id.slice(4)));
  tab.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    chooseLanguage(language === "curl" ? "python" : "curl");
    byId(`tab-${language}`).focus();
  });
}
byId("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(byId("code").textContent);
    byId("copy").textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(byId("code"));
    byId("copy").textContent = "Press Ctrl C";
  }
  setTimeout(() => { byId("copy").textContent = "Copy"; }, 1500);
});
addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragging"); });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dragging"); });
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  if (event.dataTransfer.files.length) openFile(event.dataTransfer.files[0]);
});
addEventListener("hashchange", () => {
  const name = location.hash.slice(1);
  const isDrawn = byId("tasks").childElementCount > 0;  // until then, connect() is under way and reads the hash itself
  if (isDrawn && TASKS[name] && name !== state.task && modelsFor(name).length) chooseTask(name);
});

setTheme(memory.get("distilbert-theme") ?? "system");
showEmpty("Connecting to the server.");
drawLive();
connect();
watch();
