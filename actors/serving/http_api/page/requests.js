
"use strict";
const RETRY_MILLISECONDS = 1000;
const at = id => document.getElementById(id);
const pause = () => new Promise(resolve => setTimeout(resolve, RETRY_MILLISECONDS));

function create(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className || "";
  element.textContent = text ?? "";
  return element;
}

function setStatus(text, isError) {
  at("status").textContent = text;
  at("status").className = isError ? "error" : "";
}

/* Returns the parsed answer. Throws an error with the service's message and status; status 0: no answer. */
async function call(path, body) {
  const headers = at("key").value ? { authorization: "Bearer " + at("key").value } : {};
  const options = body ? { method: "POST", body: JSON.stringify(body) } : {};
  let response, answer;
  try {
    response = await fetch(path, { ...options, headers: body ? { ...headers, "content-type": "application/json" } : headers });
    answer = await response.json();
  } catch {
    throw Object.assign(new Error("The service does not answer."), { status: response ? response.status : 0 });
  }
  if (response.status === 401) at("key").hidden = false;
  if (!response.ok) throw Object.assign(new Error(answer.message), { status: response.status });
  return answer;
}

/* Waits until the index and the models are loaded, and shows what the service waits for. */
async function untilReady() {
  for (;;) {
    try {
      return await call("/ready");
    } catch (error) {
      setStatus(error.status === 503 ? `Please wait: ${error.message} …` : `${error.message} Trying again …`, error.status !== 503);
      await pause();
    }
  }
}
