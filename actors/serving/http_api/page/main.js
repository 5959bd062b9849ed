
/* The query in the address, the search, and the lists of queries. */
const INTRODUCTION = "Compares the ranking of the first stage with those of the served models.";
let searches = 0;

function summaryOf(results) {
  const count = results.documents.length;
  if (!count) return "No documents found.";
  const judged = results.judged ? " This query has relevance judgements." : "";
  return `${count} document${count === 1 ? "" : "s"}.${judged}${results.problem ? ` Note: ${results.problem}.` : ""}`;
}

function queryInAddress() { return new URLSearchParams(location.search).get("q") || ""; }

function address(query) { return query ? "?q=" + encodeURIComponent(query) : location.pathname; }

/* Shows the results of the query in the address. */
async function searchAddress() {
  const query = queryInAddress(), search = ++searches;
  at("query").value = query;
  at("test-queries").value = [...at("test-queries").options].some(option => option.value === query) ? query : "";
  document.title = query ? `${query} – rradistill search` : "rradistill search";
  if (!query) {
    for (const id of ["columns", "tabs", "help"]) at(id).hidden = true;
    return setStatus(INTRODUCTION);
  }
  setStatus("Searching …");
  try {
    const results = await call("/page/search?query=" + encodeURIComponent(query));
    if (search !== searches) return;
    showResults(results);
    setStatus(summaryOf(results));
  } catch (error) {
    if (search === searches) setStatus(error.message, true);
  }
}

function openQuery(query) {
  const trimmed = query.toWellFormed().trim();
  if (!trimmed) return;
  if (trimmed !== queryInAddress()) history.pushState(null, "", address(trimmed));
  return searchAddress();
}

async function loadQueries() {
  const { queries } = await call("/page/queries");
  at("test-queries").append(...queries.map(query => Object.assign(create("option", "", query), { value: query })));
  at("test-queries").hidden = !queries.length;
}

function createWorseQuery(query) {
  const item = create("li"), link = create("a");
  link.href = address(query.text.toWellFormed());
  link.append(create("span", "", query.text), create("span", "", `${query.baseline.toFixed(3)} → ${query.system.toFixed(3)}`));
  link.addEventListener("click", event => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    showWorse(false);
    openQuery(query.text);
  });
  item.append(link);
  return item;
}

function showWorse(shown) {
  at("worse").hidden = !shown;
  at("show-worse").setAttribute("aria-expanded", String(shown));
}

async function loadWorseQueries() {
  let worse;
  try {
    worse = await call("/page/worse-queries");
  } catch (error) {
    if (error.status === 404) return; // the run has no evaluation
    throw error;
  }
  at("worse-note").textContent = `${worse.measure} of ${worse.baseline} → ${worse.system} in the run's evaluation, largest loss first.`;
  at("worse").querySelector("ol").append(...worse.queries.map(createWorseQuery));
  at("show-worse").textContent = `${worse.queries.length} ${worse.queries.length === 1 ? "query" : "queries"} got worse`;
  at("show-worse").hidden = !worse.queries.length;
}

/* Loads the lists once. Without a key, they are loaded when one is entered. */
async function loadLists() {
  try {
    if (at("test-queries").hidden) await loadQueries();
    if (at("show-worse").hidden) await loadWorseQueries();
  } catch (error) {
    setStatus(error.message, true);
    return false;
  }
  return true;
}

async function start() {
  at("query").value = queryInAddress();
  await untilReady();
  setStatus(INTRODUCTION);
  if (await loadLists() && queryInAddress()) await searchAddress();
}

at("search").addEventListener("submit", event => { event.preventDefault(); openQuery(at("query").value); });
at("test-queries").addEventListener("change", event => openQuery(event.target.value));
at("key").addEventListener("change", async () => { if (await loadLists()) searchAddress(); });
at("show-worse").addEventListener("click", () => showWorse(at("worse").hidden));
addEventListener("popstate", searchAddress);
addEventListener("resize", drawLines);
addEventListener("keydown", event => {
  if (event.key !== "/" || event.target.matches("input, select")) return;
  event.preventDefault();
  at("query").focus();
});
start();
