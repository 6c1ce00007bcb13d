// Asks the service worker what is on an image.
const output = document.querySelector("pre");

await navigator.serviceWorker.register("./service-worker.js", { type: "module" });
await navigator.serviceWorker.ready;
// It has claimed this page, or does so now.
if (!navigator.serviceWorker.controller) {
  await new Promise((resolve) => navigator.serviceWorker.addEventListener("controllerchange", resolve, { once: true }));
}
const answer = await fetch(`classify?image=${encodeURIComponent("cat.jpg")}`);
output.textContent = JSON.stringify(await answer.json(), null, 2);
