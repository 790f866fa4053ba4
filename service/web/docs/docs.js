// Fetches the contract, with a key if one is needed, and hands it to Swagger UI. The key stays in this
// page's memory: it is gone when the page is closed or loaded again.

const form = document.getElementById("login");
const input = document.getElementById("key");
const message = document.getElementById("message");

async function open(key) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const answer = await fetch("/openapi.json", { headers });
  if (answer.status === 401) {
    form.hidden = false;
    input.focus();
    message.textContent = key ? "That is no key of this service." : "";
    return;
  }
  if (!answer.ok) {
    throw new Error((await answer.json()).detail);
  }
  form.hidden = true;
  show(await answer.json(), key);
}

function show(spec, key) {
  const ui = SwaggerUIBundle({
    spec,
    dom_id: "#api",
    deepLinking: true,
    displayRequestDuration: true,
    // The default asks validator.swagger.io about the document.
    validatorUrl: null,
    onComplete: () => key && ui.preauthorizeApiKey("key", key),
  });
}

function fail(error) {
  form.hidden = false;
  message.textContent = error.message;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  open(input.value.trim()).catch(fail);
});

open().catch(fail);
