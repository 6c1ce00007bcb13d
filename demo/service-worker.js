/**
 * Keeps all files of the page, so that it works without network after the first visit, and makes it cross-origin isolated where the host
 * cannot: threads need memory that is shared. VERSION and FILES are put before this by vite.config.js.
 */
/* global VERSION, FILES */
const CACHE = `vitrail-page-${VERSION}`;

self.addEventListener("install", (event) => {
  // Past the browser's own cache, which may have older files.
  const requests = FILES.map((file) => new Request(file, { cache: "no-cache" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(requests)));
});

self.addEventListener("activate", (event) => {
  const drop = async () => {
    for (const name of await caches.keys()) {
      if (name.startsWith("vitrail-page-") && name !== CACHE) await caches.delete(name);
    }
  };
  event.waitUntil(drop());
});

async function answer(request) {
  const { pathname } = new URL(request.url);
  const key = pathname.endsWith("/") ? `${pathname}index.html` : pathname;
  const kept = await (await caches.open(CACHE)).match(key);
  const response = kept ?? (await fetch(request));
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const own = new URL(request.url).origin === location.origin;
  if (own && request.method === "GET" && !request.headers.has("range")) event.respondWith(answer(request));
});
