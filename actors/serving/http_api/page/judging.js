
/* Grades from 0 to 3, by key or button. All rankings show the grade of a document and whether it is saved. */
const GRADES = [0, 1, 2, 3];

function createJudge(results, i) {
  const box = create("div", "judge");
  box.append(create("span", "", "Relevance:"));
  for (const grade of GRADES) {
    const button = create("button", "", grade);
    button.type = "button";
    button.dataset.grade = grade;
    button.setAttribute("aria-label", `Save grade ${grade}`);
    button.addEventListener("click", () => judge(results, i, grade));
    box.append(button);
  }
  box.append(create("span", "state"));
  return box;
}

function showGrade(results, i, state, isError) {
  const doc = results.documents[i], grade = doc.saved_grade ?? doc.grade;
  for (const item of document.querySelectorAll(`li[data-document="${i}"]`)) {
    const chip = item.querySelector(".grade");
    chip.hidden = grade === null;
    chip.className = grade > 0 ? "grade" : "grade zero";
    chip.textContent = `grade ${grade}` + (doc.saved_grade === null ? "" : " ✓");
    chip.title = doc.saved_grade === null ? "Grade of the collection" : "Your saved grade";
    for (const button of item.querySelectorAll(".judge button")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.grade) === doc.saved_grade));
    }
    item.querySelector(".state").textContent = state || (doc.saved_grade === null ? "not judged by you" : "saved");
    item.querySelector(".state").classList.toggle("error", Boolean(isError));
  }
}

async function judge(results, i, grade) {
  const doc = results.documents[i], name = doc.title || doc.id;
  doc.wanted = grade;
  showGrade(results, i, `saving grade ${grade} …`);
  await (doc.saving = (doc.saving || Promise.resolve()).then(() => save(results, i, grade, name)));
}

/* Saves one grade. Grades of one document are sent one after the other, so the last key counts. */
async function save(results, i, grade, name) {
  const doc = results.documents[i];
  try {
    await call("/v1/judgements", { query: results.query, document_id: doc.id, grade });
    doc.saved_grade = grade;
    if (doc.wanted !== grade) return;
    showGrade(results, i);
    setStatus(`Grade ${grade} saved for “${name}”.`);
  } catch (error) {
    if (doc.wanted !== grade) return;
    showGrade(results, i, "not saved", true);
    setStatus(`Grade ${grade} was not saved for “${name}”: ${error.message}`, true);
  }
}
