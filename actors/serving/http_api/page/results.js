
/* The rankings side by side. */
const ALL_LETTERS = "[\\p{L}\\p{N}]";

function highlight(element, text, words) {
  const patterns = words.filter(Boolean).map(word => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const either = new RegExp(`(?<!${ALL_LETTERS})(${patterns.join("|")})(?!${ALL_LETTERS})`, "u");
  const parts = patterns.length ? text.split(either) : [text];
  parts.forEach((part, i) => element.append(i % 2 ? create("mark", "", part) : part));
  return element;
}

function createMove(moved) {
  const places = `${Math.abs(moved)} place${Math.abs(moved) === 1 ? "" : "s"}`;
  const [className, sign, label] = moved > 0 ? ["up", "▲", `up ${places}`] : moved < 0 ? ["down", "▼", `down ${places}`] : ["", "=", "same place"];
  const move = create("span", `move ${className}`, moved ? `${sign} ${Math.abs(moved)}` : sign);
  move.title = label;
  move.setAttribute("aria-label", label);
  return move;
}

function createHead(doc, place, moved) {
  const head = create("button", "head");
  head.type = "button";
  head.tabIndex = place ? -1 : 0;
  head.setAttribute("aria-expanded", "false");
  const name = highlight(create("span", "name"), doc.title || doc.text.slice(0, 90) || doc.id, doc.matches);
  head.append(create("span", "place", place + 1), name, create("span", "grade"));
  if (moved !== null) head.append(createMove(moved));
  return head;
}

/* The part of a text that begins shortly before its first matching word. */
function snippet(doc) {
  const found = doc.matches.map(word => doc.text.indexOf(word)).filter(start => start >= 0);
  const first = found.length ? Math.min(...found) : 0;
  if (first < 100) return doc.text;
  return "… " + doc.text.slice(doc.text.indexOf(" ", first - 60) + 1);
}

function createItem(results, column, i, place) {
  const doc = results.documents[i], item = create("li", "result");
  item.dataset.document = i;
  const head = createHead(doc, place, column === results.columns[0] ? null : i - place);
  const text = highlight(create("p", "text"), snippet(doc), doc.matches), detail = create("div", "detail");
  detail.append(create("span", "", doc.id), create("span", "", `score ${column.scores[i].toFixed(3)}`));
  item.append(head, createJudge(results, i), text, detail);
  head.addEventListener("click", () => toggle(item, doc));
  for (const [name, on] of [["mouseenter", true], ["focusin", true], ["mouseleave", false], ["focusout", false]]) {
    item.addEventListener(name, () => light(i, on));
  }
  item.addEventListener("keydown", event => onKey(event, results, item));
  return item;
}

function toggle(item, doc) {
  const open = item.dataset.open !== "true";
  item.dataset.open = open;
  item.querySelector(".head").setAttribute("aria-expanded", open);
  const text = create("p", "text");
  item.querySelector(".text").replaceWith(highlight(text, open ? doc.text : snippet(doc), doc.matches));
  drawLines();
}

function focusOn(item) {
  const head = item && item.querySelector(".head");
  if (!head || !head.offsetParent) return;
  for (const other of item.parentNode.querySelectorAll(".head")) other.tabIndex = other === head ? 0 : -1;
  head.focus();
}

function inNeighbour(item, step) {
  const columns = [...document.querySelectorAll(".column")], here = columns.indexOf(item.closest(".column")) + step;
  return columns[here] && columns[here].querySelector(`li[data-document="${item.dataset.document}"]`);
}

function onKey(event, results, item) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const steps = { ArrowDown: () => item.nextSibling, ArrowUp: () => item.previousSibling, ArrowLeft: () => inNeighbour(item, -1),
    ArrowRight: () => inNeighbour(item, 1) };
  const grade = GRADES.find(value => event.key === String(value));
  if (Object.hasOwn(steps, event.key)) focusOn(steps[event.key]());
  else if (grade !== undefined) judge(results, Number(item.dataset.document), grade);
  else return;
  event.preventDefault();
}

function createColumn(results, column) {
  const section = create("section", "column"), header = create("header"), heading = create("h2", "", column.role);
  const version = create("span", "version", column.version), list = create("ol");
  version.title = column.version;
  header.append(heading, version, create("span", "latency", `${column.milliseconds.toFixed(column.milliseconds < 10 ? 1 : 0)} ms`));
  if (results.columns.some(other => other.blend)) {  // in all columns, so that their results begin at the same height
    header.append(create("span", "blend", column.blend ? `blended with the first stage (${column.blend})` : ""));
  }
  list.append(...column.order.map((i, place) => createItem(results, column, i, place)));
  section.append(header, list);
  section.setAttribute("aria-label", column.role);
  return section;
}

function showColumn(shown) {
  document.querySelectorAll(".column").forEach((column, i) => column.classList.toggle("shown", i === shown));
  at("tabs").querySelectorAll("button").forEach((tab, i) => tab.setAttribute("aria-pressed", String(i === shown)));
}

function showResults(results) {
  const sections = results.columns.map(column => createColumn(results, column));
  const withLines = sections.flatMap((section, i) => {
    const gap = create("div", "lines");
    gap.setAttribute("aria-hidden", "true");
    gap.append(document.createElementNS(SVG, "svg"));
    return i ? [gap, section] : [section];
  });
  at("columns").replaceChildren(...withLines);
  at("tabs").replaceChildren(...results.columns.map((column, i) => {
    const tab = create("button", "", column.role);
    tab.type = "button";
    tab.addEventListener("click", () => showColumn(i));
    return tab;
  }));
  for (const id of ["columns", "tabs", "help"]) at(id).hidden = !results.documents.length;
  results.documents.forEach((_, i) => showGrade(results, i));
  showColumn(1);
  drawLines();
}
