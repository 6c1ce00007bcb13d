// The window: it shows what the main process finds.
const [button, results] = ["button", "ol"].map((selector) => document.querySelector(selector));

button.onclick = async () => {
  const path = await window.vitrail.choose();
  if (!path) return;
  const lines = await window.vitrail.classify(path).then(
    (classes) => classes.map(({ label, probability }) => `${label} ${(100 * probability).toFixed(1)} %`),
    ({ message }) => [message],
  );
  results.replaceChildren(...lines.map((line) => Object.assign(document.createElement("li"), { textContent: line })));
};
