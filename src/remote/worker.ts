/**
 * The worker of page.ts, apart from all that it does (requests.ts): of a bundle's entry WebKit makes a second one, without the model, when
 * a chunk imports from it.
 */
import("./requests.js").catch((error) => {
  // In a task of its own, where it counts as caught by nobody, and the page hears of it.
  setTimeout(() => {
    throw error;
  });
});
