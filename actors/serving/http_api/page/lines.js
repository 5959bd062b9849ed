
/* Lines between neighbouring columns: from the place of a document in one ranking to its place in the next. */
const SVG = "http://www.w3.org/2000/svg";

function drawLines() {
  for (const gap of document.querySelectorAll(".lines")) drawGap(gap.firstChild, gap.previousSibling, gap.nextSibling);
}

function drawGap(svg, left, right) {
  const box = svg.getBoundingClientRect();
  const middle = item => {
    const head = item.querySelector(".head").getBoundingClientRect();
    return head.top + head.height / 2 - box.top;
  };
  const places = new Map([...left.querySelectorAll("li.result")].map((item, place) => [item.dataset.document, [item, place]]));
  svg.replaceChildren(...[...right.querySelectorAll("li.result")].map((item, place) => {
    const [from, before] = places.get(item.dataset.document), [a, b] = [middle(from), middle(item)];
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", `M2,${a} C${box.width / 2},${a} ${box.width / 2},${b} ${box.width - 2},${b}`);
    path.setAttribute("class", place < before ? "up" : place > before ? "down" : "");
    path.dataset.document = item.dataset.document;
    return path;
  }));
}

function light(i, on) {
  for (const element of document.querySelectorAll(`[data-document="${i}"]`)) element.classList.toggle("lit", on);
}
