// Classifies the images that are chosen. The model runs in a worker, so that the page stays free.
import { load } from "vitrail";

const [input, cancel, progress, results, status] = ["input", "button", "progress", "ol", "#status"].map((selector) =>
  document.querySelector(selector),
);

const model = load(undefined, {
  onProgress({ loaded, total }) {
    progress.max = total;
    progress.value = loaded;
  },
});
model.then(
  ({ backend }) => {
    status.textContent = `${backend.name}, ${backend.precision}, threads: ${backend.threads}; ${backend.reason}`;
  },
  ({ message }) => {
    status.textContent = message;
  },
);

input.onchange = async () => {
  const controller = new AbortController();
  cancel.onclick = () => controller.abort();
  cancel.disabled = false;
  results.replaceChildren();
  for (const file of input.files) {
    const item = document.createElement("li");
    results.append(item);
    try {
      const vit = await model;
      const [best] = await vit.classify(file, { signal: controller.signal });
      const share = document.createElement("meter");
      share.value = best.probability;
      item.append(`${file.name}: ${best.label} `, share);
    } catch (error) {
      item.append(controller.signal.aborted ? `${file.name}: cancelled` : error.message);
    }
  }
  cancel.disabled = true;
};
